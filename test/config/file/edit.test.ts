// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references to variables in YAML look like template strings
import { describe, expect, it } from 'vitest'
import { editPhase } from '../../../src/config/file/edit.ts'

const FILE = `# top
stores: { old: redis://a, new: redis://b } # phase: mirror
routes:
  # the jobs
  - name: jobs   # first
    keys: ["job:{rest}"]
    phase: mirror   # one line
    target: { store: new }

  - keys:   ["*"]
    phase: "mirror"
    name: everything-else
    target: new
    compare: {sample:   1%}
# end`

describe('editing a phase', () => {
  it.each([
    ['jobs', '    phase: mirror   # one line', '    phase: shadow   # one line'],
    ['everything-else', '    phase: "mirror"', '    phase: "shadow"'],
  ])('of %s changes one word of one line', (route, before, after) => {
    const edited = editPhase(FILE, route, 'shadow')
    expect(edited).toBe(FILE.replace(before, after))
    expect(edited).not.toBe(FILE)
    expect(editPhase(edited, route, 'mirror')).toBe(FILE)
  })

  it.each([
    ["- name: x\n  phase: 'mirror'\n", "- name: x\n  phase: 'shadow'\n"],
    ['- { name: x, phase: mirror, keys: [a] } # c\n', '- { name: x, phase: shadow, keys: [a] } # c\n'],
    ['- { name: x, phase: , keys: [a] }\n', '- { name: x, phase: shadow , keys: [a] }\n'],
    ['- { phase, name: x }\n', '- { phase: shadow, name: x }\n'],
    ['- name: x\n  phase: # none yet\n  keys: [a]\n', '- name: x\n  phase: shadow # none yet\n  keys: [a]\n'],
    ['- name: x\n  phase: ~\n', '- name: x\n  phase: shadow\n'],
    ['- name: x\n  phase:\n    mirror\n', '- name: x\n  phase:\n    shadow\n'],
    ['- name: x\n  phase: |\n    mirror\n  keys: [a]\n', '- name: x\n  phase: shadow\n  keys: [a]\n'],
    ['- name: x\n  phase: |- # why\n    mirror\n', '- name: x\n  phase: shadow # why\n'],
    ['- name: x\n  phase: >2-\t# why\r\n    mirror\r\n', '- name: x\n  phase: shadow\t# why\r\n'],
    ['- name: x\n  phase: mirror', '- name: x\n  phase: shadow'],
    ['- name: x\r\n  phase: mirror\r\n', '- name: x\r\n  phase: shadow\r\n'],
    ['- name: x\n  "phase": mirror\n', '- name: x\n  "phase": shadow\n'],
    ['- name: x\n  phase: !!str mirror\n', '- name: x\n  phase: !!str shadow\n'],
    [
      '- name: y\n  phase: &p done\n- name: x\n  phase: *p\n',
      '- name: y\n  phase: &p done\n- name: x\n  phase: shadow\n',
    ],
  ])('keeps how it is written: %j', (before, after) => {
    expect(editPhase(`routes:\n${before}`, 'x', 'shadow')).toBe(`routes:\n${after}`)
  })

  it.each([
    ['- name: x # n\n  keys: [a]\n', '- name: x # n\n  phase: shadow\n  keys: [a]\n'],
    ['  -  keys: [a]\n     name: x\n', '  -  keys: [a]\n     name: x\n     phase: shadow\n'],
    ['- name: x', '- name: x\n  phase: shadow'],
    ['- name: "x"\r\n  keys: [a]\r\n', '- name: "x"\r\n  phase: shadow\r\n  keys: [a]\r\n'],
    ['- {keys: [a], name: x}\n', '- {keys: [a], name: x, phase: shadow}\n'],
    ['- name: y\n- name: x\n- name: z\n', '- name: y\n- name: x\n  phase: shadow\n- name: z\n'],
    ['- &a\n  name: x\n', '- &a\n  name: x\n  phase: shadow\n'],
    ['- &a name: x\n  keys: [a]\n', '- &a name: x\n  phase: shadow\n  keys: [a]\n'],
    ['- keys: [a]\n  &a name: x\n', '- keys: [a]\n  &a name: x\n  phase: shadow\n'],
    ['- ? name\n  : x\n  keys: [a]\n', '- ? name\n  : x\n  phase: shadow\n  keys: [a]\n'],
  ])('adds it where there is none: %j', (before, after) => {
    expect(editPhase(`routes:\n${before}`, 'x', 'shadow')).toBe(`routes:\n${after}`)
  })

  it('finds a route whose name comes from a variable', () => {
    expect(editPhase('routes:\n- name: ${APP}\n', 'shop', 'mirror', { APP: 'shop' })).toContain('phase: mirror')
  })

  it.each([
    [FILE, 'job', {}, 'there is no route "job" in the file (did you mean "jobs"?)'],
    ['routes: 5', 'x', {}, /^there is no route "x" in the file$/],
    ['', 'x', {}, 'the configuration file is empty'],
    ['# nothing\n---\n', 'x', {}, 'the configuration file is empty'],
    [FILE, 'jobs', { UNDERSTUDY_PHASE_JOBS: 'done' }, 'comes from the environment variable UNDERSTUDY_PHASE_JOBS'],
    [FILE, 'jobs', { UNDERSTUDY_PHASE: 'done' }, 'comes from the environment variable UNDERSTUDY_PHASE;'],
    ['routes:\n- name: x\n  phase: ${P:-mirror}\n', 'x', {}, 'is "${P:-mirror}" in the file'],
    ['routes:\n- { name: x, phase: &p mirror }\n- { name: y, phase: *p }\n', 'x', {}, 'has the anchor &p'],
    ['a: &r { name: x }\nroutes:\n- *r\n', 'x', {}, 'is written as an alias'],
    ['routes:\n- name: x\n  phase: [mirror]\n', 'x', {}, 'is not a text'],
    ['routes: [\n', 'x', {}, 'not valid YAML'],
  ])('is refused where it would have no effect, or too much: %#', (text, route, env, message) => {
    expect(() => editPhase(text, route, 'shadow', env)).toThrow(message)
  })

  it('refuses what is not a phase', () => {
    expect(() => editPhase(FILE, 'jobs', 'shado' as 'shadow')).toThrow('did you mean "shadow"')
  })
})
