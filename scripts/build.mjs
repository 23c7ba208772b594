// npm run build: compiles src/ to dist/ and copies beside it what is read at run time and is not TypeScript.
import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { extname, join } from 'node:path'
import { root } from './setup.mjs'

rmSync(join(root, 'dist'), { recursive: true, force: true })
execFileSync(process.execPath, [join(root, 'node_modules/typescript/lib/tsc.js'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
})
cpSync(join(root, 'src'), join(root, 'dist'), { recursive: true, filter: (file) => extname(file) !== '.ts' })
