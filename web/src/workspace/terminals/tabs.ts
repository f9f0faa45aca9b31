import type { Seat } from "@clarateach/sdk";
import { signal } from "@preact/signals";
import { read, write } from "../../app/keep.js";
import { Shell } from "./shell.js";

/** A seat has at most so many terminals. */
export const MOST = 8;

/** One tab, as it is kept: a second tab of the browser shows the same ones. */
interface Kept {
  /** The terminal's name in the seat. */
  readonly name: string;
  /** What the learner calls it. */
  readonly title: string;
}

/** The terminals that a learner has open. */
export class Tabs {
  readonly #seat: Seat;
  readonly #shells = new Map<string, Shell>();
  /** In the order of their tabs. */
  readonly list = signal<readonly Kept[]>([]);
  /** The name of the one in front. */
  readonly front = signal("");
  /** Told whenever a shell has said something. */
  onOutput: () => void = () => undefined;

  constructor(seat: Seat) {
    this.#seat = seat;
    const kept = read<Kept[]>(this.#key) ?? [];
    const good = kept.filter(({ name }) => /^[a-z0-9-]{1,32}$/.test(name)).slice(0, MOST);
    this.list.value = good.length > 0 ? good : [{ name: "main", title: "Terminal 1" }];
    this.front.value = this.list.value[0]?.name ?? "";
  }

  /** A tab's shell, made when it is first asked for. */
  shell(name: string): Shell {
    let shell = this.#shells.get(name);
    if (!shell) {
      shell = new Shell(this.#seat, name);
      shell.screen.onWriteParsed(() => this.onOutput());
      this.#shells.set(name, shell);
    }
    return shell;
  }

  /** The shell in front. */
  get now(): Shell {
    return this.shell(this.front.value);
  }

  /** One more, in front. The first name that no tab has: a shell that was left is found again. */
  add(): void {
    const used = new Set(this.list.value.map(({ name }) => name));
    if (used.size >= MOST) return;
    let number = 1;
    const nameOf = (n: number): string => (n === 1 ? "main" : `t${n}`);
    while (used.has(nameOf(number))) number += 1;
    const name = nameOf(number);
    this.#set([...this.list.value, { name, title: `Terminal ${number}` }]);
    this.front.value = name;
  }

  /** Closes a tab; its shell runs on, and the next new tab finds it. */
  close(name: string): void {
    const before = this.list.value;
    if (before.length < 2) return;
    const at = before.findIndex((tab) => tab.name === name);
    const rest = before.filter((tab) => tab.name !== name);
    this.#set(rest);
    if (this.front.value === name) this.front.value = rest[Math.max(0, at - 1)]?.name ?? "";
    this.#shells.get(name)?.close();
    this.#shells.delete(name);
  }

  /** Calls a tab otherwise. */
  rename(name: string, title: string): void {
    const short = title.slice(0, 40);
    this.#set(this.list.value.map((tab) => (tab.name === name ? { name, title: short } : tab)));
  }

  /** Another shell in the place of one that has ended or was lost. */
  renew(name: string): void {
    void this.#shells.get(name)?.connect();
  }

  /** Lets go of all of them. */
  end(): void {
    for (const shell of this.#shells.values()) shell.close();
    this.#shells.clear();
  }

  get #key(): string {
    return `tabs.${this.#seat.workshopId}.${this.#seat.number}`;
  }

  #set(list: readonly Kept[]): void {
    this.list.value = list;
    write(this.#key, list);
  }
}
