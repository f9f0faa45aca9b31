/** What can be drawn. */
export type Sign = keyof typeof PATHS;

/** Lines on sixteen by sixteen. */
const PATHS = {
  file: "M9 1.5H4a1 1 0 0 0-1 1v11a1 1 0 0 0 1 1h4M9 1.5 13 5.5V8M9 1.5v4h4M12 10v5M9.5 12.5h5",
  folder: "M8 13.5H2.5a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1H6l1.5 2h6a1 1 0 0 1 1 1V8M12 9.5v5M9.5 12h5",
  up: "M8 10.5V2M4.5 5.5 8 2l3.5 3.5M2 10.5v3h12v-3",
  down: "M8 2v8.5M4.5 7 8 10.5 11.5 7M2 10.5v3h12v-3",
  full: "M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4",
  again: "M13.5 8A5.5 5.5 0 1 1 11.8 4M12 1.2v3.2H8.8",
};

/** A small drawing; the button around it has the words. */
export function Icon({ of }: { of: Sign }) {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      stroke-width="1.4"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[of]} />
    </svg>
  );
}
