import { invalid } from "./duration.js";

/** A terminal's size in cells. */
export interface Size {
  readonly cols: number;
  readonly rows: number;
}

/** 2 to 500 columns and 1 to 300 rows, as screens are kept for. */
export function size(cols: number | undefined, rows: number | undefined): Size {
  const fits = (n: number | undefined, least: number, most: number): n is number =>
    Number.isInteger(n) && Number(n) >= least && Number(n) <= most;
  if (fits(cols, 2, 500) && fits(rows, 1, 300)) return { cols, rows };
  throw invalid("cols", "must be 2 to 500, and rows 1 to 300", "BAD_SIZE");
}
