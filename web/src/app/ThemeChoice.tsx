import { choose, type Theme, theme } from "./theme.js";

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const SIGN: Record<Theme, string> = { auto: "◐", light: "☀", dark: "☾" };

/** Light, dark, or as the system is. */
export function ThemeChoice() {
  const now = theme.value;
  const said = now === "auto" ? "as the system" : now;
  return (
    <button
      type="button"
      class="quiet square"
      aria-label={`Colours: ${said}. Change`}
      title={`Colours: ${said}`}
      onClick={() => choose(NEXT[now])}
    >
      <span aria-hidden="true">{SIGN[now]}</span>
    </button>
  );
}
