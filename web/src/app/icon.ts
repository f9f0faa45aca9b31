/** Shows in the tab's icon how it stands, for whoever waits in another tab. */
export function icon(kind: "plain" | "ready" | "away"): void {
  const colour = { plain: "%237a8294", ready: "%23239a5f", away: "%23c98a1b" }[kind];
  const drawing = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="${colour}"/><path d="M9 10l7 6-7 6M18 22h6" fill="none" stroke="white" stroke-width="3" stroke-linecap="round"/></svg>`;
  let link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (!link) {
    link = document.createElement("link");
    link.rel = "icon";
    document.head.append(link);
  }
  link.href = `data:image/svg+xml,${drawing.replaceAll("#", "%23")}`;
}
