/** No connection's lane: looked at for it, every write counts. */
export const NOBODY = -2

/**
 * Commands that change every key of a store at once (FLUSHALL), for the overlap table. While one is under way nobody is alone but those on its own lane, whose order with it is known.
 */
export class Sweeps {
  #underWay = 0
  /** The lane that those under way are all on, else NOBODY. */
  #lane = NOBODY
  #count = 0
  /** The lane of the latest, and how many had begun before those that it has made since another lane's. */
  #latestLane = NOBODY
  #before = 0

  /** How many have ever begun. */
  get count(): number {
    return this.#count
  }

  get anyUnderWay(): boolean {
    return this.#underWay > 0
  }

  begin(lane: number): void {
    if (this.#underWay === 0) this.#lane = lane
    else if (this.#lane !== lane) this.#lane = NOBODY
    if (this.#latestLane !== lane) {
      this.#latestLane = lane
      this.#before = this.#count
    }
    this.#underWay++
    this.#count++
  }

  end(): void {
    this.#underWay--
  }

  /** None is under way but on this lane. */
  spare(lane: number): boolean {
    return this.#underWay === 0 || (this.#lane === lane && lane !== NOBODY)
  }

  /** Grows with every one of another lane, and only then. */
  ofOthers(lane: number): number {
    return this.#latestLane === lane && lane !== NOBODY ? this.#before : this.#count
  }
}
