/** The terminal's wire, as both ends call it. */
export const TERMINAL_PROTOCOL: string = "clarateach.terminal.v1";
/** Before a token that rides as a subprotocol offer, where no header can be set. */
export const BEARER_OFFER: string = "clarateach.bearer.v1.";
