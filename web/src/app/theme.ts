import { computed, effect, signal } from "@preact/signals";
import { read, write } from "./keep.js";

/** What somebody chose; `auto` is the system's. */
export type Theme = "auto" | "light" | "dark";

const system = window.matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system.matches);
system.addEventListener("change", ({ matches }) => {
  systemDark.value = matches;
});

/** The choice, kept in this browser. */
export const theme = signal<Theme>(read<Theme>("theme") ?? "auto");

/** Whether pages are dark now. */
export const dark = computed(() =>
  theme.value === "auto" ? systemDark.value : theme.value === "dark",
);

effect(() => {
  document.documentElement.dataset.theme = dark.value ? "dark" : "light";
});

/** Chooses, and keeps it. */
export function choose(next: Theme): void {
  theme.value = next;
  write("theme", next);
}
