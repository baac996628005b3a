// How long something has been silent.

export const dead = 40_000; // milliseconds of silence after which nothing is live: the server beats each 15 s

// A Pulse tells how long ago something was heard of. It begins with its making.
export class Pulse {
  #ticks = performance.now();
  #date = Date.now();

  // beat says that something was heard of ago milliseconds before now.
  beat(ago = 0) {
    this.#ticks = performance.now() - ago;
    this.#date = Date.now() - ago;
  }

  // silence returns milliseconds. Of the two clocks, one stands still while the machine sleeps,
  // and the other can be set back.
  get silence() {
    return Math.max(performance.now() - this.#ticks, Date.now() - this.#date);
  }
}
