/**
 * The layers of src/, highest first. An import goes to a lower line only; folders on one line do not import each other.
 * Types count as imports. The files beside the folders put the parts together and may import anything; `main` hands over
 * to a subcommand and a subcommand starts the app, so they and `cli/` may know each other, and nothing below `cli/`
 * knows any of them. Import cycles are biome's business (noImportCycles): it can tell a type from a value.
 */
const LAYERS = [
  ['cli'],
  ['sidecar'],
  ['admin', 'dashboard'],
  ['cutover', 'preflight'],
  ['jobs'],
  ['proxy'],
  ['mirror', 'compare'],
  ['routing', 'upstream'],
  ['command', 'config'],
  ['resp', 'state', 'observability'],
  ['base'],
]
/** Within jobs/, the same: the kinds of jobs lie beside these folders and may import all of them. */
const JOB_LAYERS = ['files', 'compare', 'scan', 'runner', 'stores']
const ROOTS = '^src/(main|app|worker)\\.ts$'

const folder = (names) => `^src/(${names.join('|')})/`

const layerRules = LAYERS.flatMap((names, level) =>
  names.map((name) => ({
    name: `layer-${name}`,
    comment: `${name} may import only what is below it: ${
      LAYERS.slice(level + 1)
        .flat()
        .join(', ') || 'nothing'
    }.`,
    severity: 'error',
    from: { path: folder([name]) },
    to: {
      path: '^src/',
      pathNot: [folder([name, ...LAYERS.slice(level + 1).flat()]), ...(name === 'cli' ? [ROOTS] : [])],
    },
  })),
)

const jobLayerRules = JOB_LAYERS.map((name, level) => ({
  name: `job-layer-${name}`,
  comment: `jobs/${name} may import, of jobs/, only what is below it: ${JOB_LAYERS.slice(level + 1).join(', ') || 'nothing'}.`,
  severity: 'error',
  from: { path: `^src/jobs/${name}/` },
  to: { path: '^src/jobs/', pathNot: `^src/jobs/(${JOB_LAYERS.slice(level).join('|')})/` },
}))

module.exports = {
  forbidden: [
    ...layerRules,
    ...jobLayerRules,
    {
      name: 'no-unlayered-folder',
      comment: 'A new folder, or file beside the entry points, needs a place in the list of layers.',
      severity: 'error',
      from: { path: '^src/', pathNot: [folder(LAYERS.flat()), ROOTS] },
      to: {},
    },
    {
      name: 'no-unlayered-import',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: [folder(LAYERS.flat()), ROOTS] },
    },
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'product-without-tests',
      comment: 'What ships does not import what does not.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|benchmark|scripts)/' },
    },
    {
      name: 'product-without-dev-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm', 'type-only'] },
    },
    {
      name: 'no-undeclared-package',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    parser: 'swc',
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'types'],
    },
  },
}
