/** As `list.push(...items)`, for any number of items: the arguments of a call lie on the stack, which is full at some hundred thousand. */
export function append<T>(list: T[], items: Iterable<T>): void {
  for (const item of items) list.push(item)
}
