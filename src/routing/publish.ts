import type { CommandView } from '../resp/command-view.ts'
import { encodeCommand } from '../resp/encode.ts'
import type { ChannelTable } from './channel-table.ts'
import type { Plan } from './plan.ts'

/** Plans a PUBLISH or SPUBLISH: it goes where its channel's primary is. */
export function planPublish(channels: ChannelTable, view: CommandView, plan: Plan): void {
  plan.positions.reset()
  if (view.argc !== 3) return
  const rule = channels.find(view.buf, view.start[1]!, view.end[1]!)
  plan.route = rule.route
  plan.bound = true
  plan.renames = rule.primary !== null
}

/** The command with its channel as `name`; `'primary'`: as the primary knows it. */
export function publishFrame(channels: ChannelTable, view: CommandView, name: Buffer | 'primary'): Buffer {
  const [command, channel, message] = [0, 1, 2].map((i) => view.buf.subarray(view.start[i]!, view.end[i]!))
  return encodeCommand([command!, name === 'primary' ? channels.atPrimary(Buffer.from(channel!)).name : name, message!])
}
