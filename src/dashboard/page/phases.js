/** @type {readonly import('../shapes.ts').Phase[]} */
export const PHASES = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']
