import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Command as Program } from 'commander'
import { findProgram } from '../src/base/find-program.ts'
import { startRedis } from '../test/support/redis.ts'
import { CallCounter } from './call-counter.ts'
import { type Case, COMMANDS, type Command, casesOf, groupOf } from './cases.ts'
import { type IdleMemory, measureIdleMemory } from './idle-connections.ts'
import { measureJobs } from './jobs.ts'
import { fillKeys, runLoad } from './load.ts'
import { cpuMicroseconds } from './process-usage.ts'
import { renderMemory, renderThroughput, type Sample } from './report.ts'
import { type Stores, SYSTEM_NAMES, type System, type SystemName, startSystem } from './systems.ts'

const DEFAULT_SYSTEMS: SystemName[] = ['direct', 'understudy', 'understudy-mirror', 'nutcracker', 'haproxy']

interface Options {
  readonly rounds: number
  readonly quick: boolean
  readonly systems: readonly SystemName[]
  readonly clients: readonly number[]
  readonly pipeline: readonly number[]
  readonly size: readonly number[]
  readonly command: readonly Command[]
  readonly memory: boolean
  readonly jobs: boolean
  readonly keys?: number
}

const program = new Program('npm run bench --')
  .description('Measures Understudy and its peers against the Redis behind them, in one run, in interleaved rounds.')
  .option('--rounds <n>', 'how often every case is run on every system', number, 5)
  .option('--quick', 'two short rounds of the 64-byte cases with 50 clients: a look, not a measurement', false)
  .option('--systems <list>', `of: ${SYSTEM_NAMES.join(', ')}`, oneOf(SYSTEM_NAMES), DEFAULT_SYSTEMS)
  .option('--clients <list>', 'connections of the load generator', numbers, [50, 500])
  .option('--pipeline <list>', 'commands sent before waiting for replies', numbers, [1, 16])
  .option('--size <list>', 'bytes of a value', numbers, [64, 4_096])
  .option('--command <list>', `of: ${COMMANDS.join(', ')}`, oneOf(COMMANDS), [...COMMANDS])
  .option('--no-memory', 'leave out the memory of idle connections')
  .option('--jobs', 'measure backfill and verify instead', false)
  .option('--keys <n>', 'so many different keys (default: 1,000,000, or as many values as 200 MB hold)', number)

const given = program.parse().opts<Options>()
if (given.jobs) {
  process.stdout.write(`${await measureJobs(given.keys ?? 1_000_000)}\n`)
  process.exit(0)
}
const options = given.quick ? { ...given, rounds: 2, clients: [50], size: [64] } : given
const cases = casesOf({
  clients: options.clients,
  pipelines: options.pipeline,
  valueBytes: options.size,
  commands: options.command,
  keys: options.keys ?? null,
  length: options.quick ? 0.3 : 1,
})

if (findProgram('redis-benchmark') === null) {
  program.error('redis-benchmark is needed and not in PATH: it comes with redis-tools or redis.', { exitCode: 3 })
}
const stores: Stores = { primary: await startRedis(), shadow: await startRedis() }
const counters = { primary: new CallCounter(stores.primary), shadow: new CallCounter(stores.shadow) }
const systems = await startSystems(options.systems)
try {
  const memory = options.memory ? await measureMemory(systems) : new Map<SystemName, IdleMemory>()
  const samples = await measureThroughput(systems)
  process.stdout.write(`${renderThroughput(samples)}\n`)
  if (options.memory) process.stdout.write(`\n### Memory\n\n${renderMemory(memory)}\n`)
  note(`\nEvery sample: ${writeResults({ options, machine: machine(), samples, memory: Object.fromEntries(memory) })}`)
} finally {
  await Promise.all(systems.map((system) => system.stop()))
  await Promise.all([stores.primary.stop(), stores.shadow.stop()])
}

/** What is not installed, or does not come up, is left out and named. */
async function startSystems(names: readonly SystemName[]): Promise<System[]> {
  const started: System[] = []
  for (const name of names) {
    try {
      started.push(await startSystem(name, stores))
    } catch (error) {
      note(`Left out: ${name}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return started
}

async function measureMemory(measured: readonly System[]): Promise<Map<SystemName, IdleMemory>> {
  const memory = new Map<SystemName, IdleMemory>()
  for (const { name, port, pid } of measured) memory.set(name, await measureIdleMemory(port, pid))
  return memory
}

/**
 * Round by round, so that whatever else the machine does meets all alike; within a case the systems take turns in going
 * first.
 */
async function measureThroughput(measured: readonly System[]): Promise<Sample[]> {
  const samples: Sample[] = []
  let filledWith = 0
  for (let round = 0; round < options.rounds; round++) {
    for (const load of cases) {
      if (filledWith !== load.valueBytes) await fill(load)
      filledWith = load.valueBytes
      note(`round ${round + 1} of ${options.rounds}: ${load.command}, ${groupOf(load)}`)
      for (let turn = 0; turn < measured.length; turn++) {
        const system = measured[(round + turn) % measured.length]!
        samples.push(await measure(system, load, round))
      }
    }
  }
  return samples
}

/** One load on one system. The servers' own counts must show that every command went where it should. */
async function measure(system: System, load: Case, round: number): Promise<Sample> {
  const { command, requests } = load
  const count = () => Promise.all([counters.primary.calls(command), counters.shadow.calls(command)])
  const callsBefore = await count()
  const cpuBefore = cpuMicroseconds(system.pid)
  const result = await runLoad(system.port, load)
  await system.settled()
  const used = cpuMicroseconds(system.pid) - cpuBefore
  const callsAfter = await count()
  const primary = callsAfter[0] - callsBefore[0]
  const shadow = callsAfter[1] - callsBefore[1]
  if (primary < requests || shadow < requests * system.shadowed[command]) {
    throw new Error(`${system.name}: of ${requests} ${command} ${primary} reached the primary and ${shadow} the shadow`)
  }
  return { system: system.name, case: load, round, ...result, cpuMicrosecondsPerRequest: used / requests }
}

/** Gives every key a value of the case's size, the one that redis-benchmark sets, on both servers, and warms the systems up. */
async function fill(load: Case): Promise<void> {
  const writes: Case = { ...load, command: 'SET', clients: 50, requests: 20_000 }
  for (const store of [stores.primary, stores.shadow]) {
    await runLoad(store.port, { ...writes, clients: 1, requests: 1, keys: 1 })
    await fillKeys(store, load.keys)
  }
  for (const system of systems) {
    for (const command of COMMANDS) await runLoad(system.port, { ...writes, command, pipeline: 1 })
    await system.settled()
  }
}

function machine(): object {
  const model = cpus()[0]?.model ?? 'unknown'
  return {
    cpu: model,
    cores: availableParallelism(),
    kernel: release(),
    node: process.version,
    at: new Date().toISOString(),
  }
}

function writeResults(results: object): string {
  const directory = fileURLToPath(new URL('results/', import.meta.url))
  mkdirSync(directory, { recursive: true })
  const file = `${directory}${new Date().toISOString().replaceAll(/[:.]/g, '-')}.json`
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`)
  return file
}

/** The tables go to standard output alone. */
function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

function number(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) program.error(`${text} is not a number of at least 1`, { exitCode: 2 })
  return value
}

function numbers(text: string): number[] {
  return text.split(',').map(number)
}

function oneOf<T extends string>(known: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(',').map((name) => {
      const found = known.find((one) => one.toLowerCase() === name.trim().toLowerCase())
      return found ?? program.error(`${name} is not one of ${known.join(', ')}`, { exitCode: 2 })
    })
}
