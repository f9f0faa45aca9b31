// Every fault becomes one of ours here, and nowhere else.
//
// Way: what a library threw, or an HTTP answer -> its kind, reason and words ->
// one class of errors.ts.

import { Code, ConnectError } from "@connectrpc/connect";
import {
  AuthError,
  CertificateError,
  ClarateachError,
  ConflictError,
  ConnectionLostError,
  DeadlineError,
  type ErrorFacts,
  ExhaustedError,
  InvalidError,
  NotFoundError,
  ServerError,
  UnavailableError,
  UnsupportedError,
} from "./errors.js";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./gen/google/rpc/error_details_pb.js";

type ErrorClass = new (message: string, facts: ErrorFacts) => ClarateachError;

const BY_CODE: Partial<Record<Code, ErrorClass>> = {
  [Code.Unauthenticated]: AuthError,
  [Code.PermissionDenied]: AuthError,
  [Code.NotFound]: NotFoundError,
  [Code.InvalidArgument]: InvalidError,
  [Code.OutOfRange]: InvalidError,
  [Code.AlreadyExists]: ConflictError,
  [Code.Aborted]: ConflictError,
  [Code.FailedPrecondition]: ConflictError,
  [Code.ResourceExhausted]: ExhaustedError,
  [Code.Unavailable]: UnavailableError,
  [Code.DeadlineExceeded]: DeadlineError,
  [Code.Unimplemented]: UnsupportedError,
  [Code.Internal]: ServerError,
  [Code.DataLoss]: ServerError,
};

/** Statuses of the seats' HTTP services; 403 is about rights, whoever holds the token. */
const BY_STATUS: Record<number, ErrorClass> = {
  400: InvalidError,
  401: AuthError,
  403: AuthError,
  404: NotFoundError,
  405: ConflictError,
  408: UnavailableError,
  409: ConflictError,
  412: ConflictError,
  413: InvalidError,
  414: InvalidError,
  416: InvalidError,
  423: ConflictError,
  426: UnsupportedError,
  429: ExhaustedError,
  500: ServerError,
  501: UnsupportedError,
  502: UnavailableError,
  503: UnavailableError,
  504: UnavailableError,
  507: ExhaustedError,
};

/** Codes of Node's TLS that mean "I do not know who signed this". */
const UNKNOWN_CA = [
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
];

/** The error that `thrown` by a call of the control plane at `url` means. */
export function fromCall(thrown: unknown, url: string, requestId?: string): ClarateachError {
  if (thrown instanceof ClarateachError) return thrown;
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  const unsaid = info === undefined ? fromTransport(error, url, requestId) : undefined;
  if (unsaid !== undefined) return unsaid;
  const [retry] = error.findDetails(RetryInfoSchema);
  const delay = retry?.retryDelay;
  const Class = BY_CODE[error.code] ?? ClarateachError;
  // An old server or a proxy has no reason of its own: the code's name stands in.
  const reason = info?.reason ?? Code[error.code].replace(/\B[A-Z]/g, "_$&").toUpperCase();
  return new Class(said(error.rawMessage, reason), {
    reason,
    retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) =>
        bad.fieldViolations.map(({ field, description }) => ({ field, description })),
      ),
    requestId,
    cause: thrown,
  });
}

/** What a failure means that no server of ours put into words; undefined if its code says enough. */
function fromTransport(
  error: ConnectError,
  url: string,
  requestId: string | undefined,
): ClarateachError | undefined {
  const said = error.rawMessage;
  const code = codeOf(error);
  if (/^HTTP (429|502|503|504)/.test(said)) {
    return new UnavailableError(
      `${hostOf(url)} answered ${said}: what stands before the server does not reach it now`,
      { reason: "UNREACHABLE", requestId, cause: error },
    );
  }
  if (/^HTTP \d|content type|protocol error/i.test(said)) {
    return new ServerError(
      `what answers at ${hostOf(url)} is no ClaraTeach server (${said}): check the URL and its port`,
      { reason: "NOT_CLARATEACH", requestId, cause: error },
    );
  }
  if (code !== "" || error.code === Code.Unavailable || error.code === Code.Unknown) {
    return fromNetwork(error, url, requestId);
  }
  const cut = [Code.Canceled, Code.Aborted, Code.Internal, Code.DataLoss];
  return cut.includes(error.code) ? broken(error, url, "the call", requestId) : undefined;
}

/** The error that an HTTP answer of a seat's services means; reads its body. */
export async function fromAnswer(answer: Response): Promise<ClarateachError> {
  const text = await answer.text().catch(() => "");
  return fromRefusal(answer.status, text);
}

/** The same, for a status and a body. */
export function fromRefusal(status: number, body: string): ClarateachError {
  const told = refusal(body);
  const Class = BY_STATUS[status] ?? ClarateachError;
  const reason = told?.reason ?? `HTTP_${status}`;
  const seconds = told?.retry_after_seconds;
  return new Class(told?.message || `the server answered with HTTP status ${status}`, {
    reason,
    retryAfterMs: seconds ? seconds * 1000 : undefined,
    fields: told?.fields,
  });
}

/** The error that a connection to `url` that failed, or broke, means. */
export function fromNetwork(thrown: unknown, url: string, requestId?: string): ClarateachError {
  if (thrown instanceof ClarateachError) return thrown;
  const code = codeOf(thrown);
  const host = hostOf(url);
  const facts = (reason: string): ErrorFacts => ({ reason, requestId, cause: thrown });
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return new CertificateError(
      `the certificate of ${host} is not valid at this time: compare this machine's clock (${new Date().toISOString()}) with the server's`,
      facts("CERTIFICATE_TIME"),
    );
  }
  if (UNKNOWN_CA.includes(code)) {
    return new CertificateError(
      `the certificate of ${host} is not signed by a CA that is trusted here: give that CA as \`ca\`, PEM`,
      facts("CERTIFICATE_UNKNOWN"),
    );
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new CertificateError(
      `the certificate of ${host} is for another host: use the name that it was made for`,
      facts("CERTIFICATE_NAME"),
    );
  }
  if (["EPROTO", "ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"].includes(code)) {
    return new UnavailableError(
      `${host} does not speak TLS: check whether the URL should begin with http:// (loopback only) or name another port`,
      facts("NOT_TLS"),
    );
  }
  const why = code === "" ? "" : ` (${code})`;
  return new UnavailableError(
    `${host} cannot be reached${why}: check the URL, that the server runs, and the network between`,
    facts("UNREACHABLE"),
  );
}

/** A connection to `url` broke in the middle of `what`. */
export function broken(
  thrown: unknown,
  url: string,
  what: string,
  requestId?: string,
): ClarateachError {
  if (thrown instanceof ClarateachError) return thrown;
  return new ConnectionLostError(
    `the connection to ${hostOf(url)} broke during ${what}: try again`,
    {
      reason: "CONNECTION_LOST",
      requestId,
      cause: thrown,
    },
  );
}

interface Told {
  reason: string;
  message: string;
  fields?: { field: string; description: string }[];
  retry_after_seconds?: number;
}

function refusal(body: string): Told | undefined {
  try {
    const told = JSON.parse(body)?.error;
    return typeof told?.reason === "string" ? told : undefined;
  } catch {
    return undefined;
  }
}

function said(message: string, reason: string): string {
  return message === "" ? `the server refused the call: ${reason}` : message;
}

/** The first code along the causes, as Node's errors have one; browsers' have none. */
function codeOf(thrown: unknown): string {
  let at = thrown as { code?: unknown; cause?: unknown; errors?: unknown[] } | undefined;
  for (let depth = 0; at && depth < 8; depth += 1) {
    if (typeof at.code === "string") return at.code;
    at = (at.cause ?? at.errors?.[0]) as typeof at;
  }
  return "";
}

function hostOf(url: string): string {
  try {
    return new URL(url).host;
  } catch {
    return "the server";
  }
}
