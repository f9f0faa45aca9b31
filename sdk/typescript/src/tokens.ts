import type { Caller } from "./call.js";
import type { CallOptions } from "./cancel.js";
import { RoleSchema } from "./gen/clarateach/workshop/v1/workshop_pb.js";
import { requestId } from "./request_id.js";
import type { ApiToken, Role } from "./types.js";
import { apiToken, number } from "./wire.js";

/** A wish for a token. */
export interface TokenWish extends CallOptions {
  /** Whom it speaks for, 1 to 100 characters; made when new. Admins only for others. */
  readonly principal: string;
  /** What the principal may do, when new. */
  readonly role: Role;
  /** What people call the token, up to 100 characters. */
  readonly label?: string;
}

/** A new token. Its text is shown once: print `info`, never this. */
export class NewToken {
  /** What is known of it. */
  readonly info: ApiToken;
  readonly #token: string;

  constructor(token: string, info: ApiToken) {
    this.#token = token;
    this.info = info;
  }

  /** Its text. No server shows it again. */
  get token(): string {
    return this.#token;
  }
}

/** API tokens of instructors and admins. */
export class Tokens {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Makes a token. */
  async create(wish: TokenWish): Promise<NewToken> {
    const { principal, label = "" } = wish;
    const role = number<number>(RoleSchema, wish.role, "role");
    const request = { principal, role, label, requestId: requestId() };
    const plan = { ...wish, repeatable: true, requestId: request.requestId };
    const made = await this.#caller.unary(plan, (ready) =>
      this.#caller.tokens.createToken(request, ready),
    );
    return new NewToken(made.token, apiToken(made.apiToken));
  }

  /** The tokens that the caller may see, newest first. */
  async list(options: CallOptions = {}): Promise<ApiToken[]> {
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.tokens.listTokens({}, ready),
    );
    return answer.tokens.map(apiToken);
  }

  /** Ends a token. Asked twice, nothing changes. */
  async revoke(id: string, options: CallOptions = {}): Promise<ApiToken> {
    const answer = await this.#caller.unary({ ...options, repeatable: true }, (ready) =>
      this.#caller.tokens.revokeToken({ id }, ready),
    );
    return apiToken(answer);
  }
}
