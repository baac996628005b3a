// The time since a sign of life.

export const dead = 40_000; // milliseconds of silence after which a connection is dead: the server beats every 15 s

// A Pulse measures the time since the last beat. Its creation is the first beat.
export class Pulse {
  #ticks = performance.now();
  #date = Date.now();

  // beat records a sign of life, ago milliseconds before now.
  beat(ago = 0) {
    this.#ticks = performance.now() - ago;
    this.#date = Date.now() - ago;
  }

  // silence returns the time since the last beat in milliseconds. It uses two clocks: one stops
  // while the machine sleeps, and the other can be set back.
  get silence() {
    return Math.max(performance.now() - this.#ticks, Date.now() - this.#date);
  }
}
