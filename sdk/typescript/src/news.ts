/** Wakes everybody who waits, again and again. */
export class News {
  #tell: () => void = () => undefined;
  #next: Promise<void> = Promise.resolve();

  constructor() {
    this.#renew();
  }

  /** Resolves when something is told next. */
  get next(): Promise<void> {
    return this.#next;
  }

  /** Something has changed. */
  tell(): void {
    const tell = this.#tell;
    this.#renew();
    tell();
  }

  #renew(): void {
    this.#next = new Promise((resolve) => {
      this.#tell = resolve;
    });
  }
}
