import { stripVTControlCharacters } from 'node:util'

export interface Column {
  readonly title: string
  readonly right?: boolean
}

const GAP = '  '

/** Lines of aligned columns under their titles. Cells may carry colours; they must be printable otherwise. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const all = [columns.map((column) => column.title.toUpperCase()), ...rows]
  const widths = columns.map((_, i) => all.reduce((width, row) => Math.max(width, widthOf(row[i] ?? '')), 0))
  return all.map((row) =>
    columns
      .map(({ right }, i) => {
        const cell = row[i] ?? ''
        const padding = ' '.repeat(widths[i]! - widthOf(cell))
        return right ? padding + cell : cell + padding
      })
      .join(GAP)
      .trimEnd(),
  )
}

function widthOf(cell: string): number {
  return [...stripVTControlCharacters(cell)].length
}
