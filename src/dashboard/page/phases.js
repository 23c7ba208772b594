/** @type {readonly import('../shapes.js').Phase[]} */
export const PHASES = ['passthrough', 'mirror', 'shadow', 'read-target', 'switched', 'done']
