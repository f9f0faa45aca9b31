// What the API speaks of, as plain objects: words instead of numbers, Date
// instead of timestamps. Fields are documented in the schema, in the same words.

/** A word that this SDK is too old to know. */
export type Unknown = `unknown-${number}`;
/** What gives a seat its machine. */
export type Runtime = "firecracker" | "container" | Unknown;
/** Where a workshop is in its life. */
export type WorkshopStatus =
  | "provisioning"
  | "running"
  | "degraded"
  | "stopping"
  | "stopped"
  | "deleting"
  | "deleted"
  | "failed"
  | Unknown;
/** Where a worker is in its life. */
export type WorkerState =
  | "creating"
  | "booting"
  | "ready"
  | "unreachable"
  | "stopped"
  | "deleting"
  | "deleted"
  | Unknown;
/** Where a seat's machine is in its life. */
export type SeatState =
  | "waiting"
  | "booting"
  | "ready"
  | "restarting"
  | "failed"
  | "removing"
  | "stopped"
  | Unknown;
/** How a helper takes part in a learner's terminal: `assist` types once the learner consented. */
export type ObserveMode = "assist" | "observe";
/** What a principal may do: everything, or what concerns their own workshops. */
export type Role = "admin" | "instructor" | Unknown;
/** How open the way out of a seat is. */
export type EgressMode = "internet" | "none" | "allow_list" | Unknown;

/** What a seat's machine has. What is left out is the server's default. */
export interface Resources {
  /** Virtual CPUs, 1 to 8. */
  readonly vcpus?: number;
  /** Memory in MiB, 128 to 16384. */
  readonly memoryMib?: number;
  /** Writable disk in MiB, 64 to 65536. */
  readonly diskMib?: number;
  /** Network in Mbit/s, each way by itself, 1 to 32000. */
  readonly networkMbits?: number;
  /** Disk in MiB/s, reading and writing each, 1 to 10000. */
  readonly diskMibPerSecond?: number;
  /** Processes and threads of a container, 64 to 32768. */
  readonly processes?: number;
}

/** What seats may reach on the internet. */
export interface Egress {
  /** How open the way out is. */
  readonly mode: EgressMode;
  /** Host names and IPv4 ranges, with mode `allow_list` only; at most 100. */
  readonly allow?: readonly string[];
}

/** One worker of a workshop. */
export interface WorkerInfo {
  readonly name: string;
  /** Where its agent answers, HOST:PORT; empty until known. */
  readonly address: string;
  readonly zone: string;
  readonly state: WorkerState;
  /** Why, for people. */
  readonly reason: string;
  readonly certificateExpiresAt: Date | undefined;
  readonly agentVersion: string;
  /** How the walls around its seats stand, for people; empty if nothing was ever found changed. */
  readonly network: string;
}

/** One seat as instructors see it: a learner's machine, or room for one. */
export interface SeatInfo {
  readonly workshopId: string;
  /** Its number, from 1, across the workshop. */
  readonly seat: number;
  readonly state: SeatState;
  /** Why, for people. */
  readonly reason: string;
  /** Whether a learner holds it. */
  readonly taken: boolean;
  /** What the learner calls themselves. */
  readonly learner: string;
  readonly joinedAt: Date | undefined;
  /** When the learner last typed. */
  readonly lastInputAt: Date | undefined;
  /** Terminals open now. */
  readonly terminals: number;
  /** How often its machine was started again by itself. */
  readonly restarts: number;
  /** Grows when the seat is reset or revoked. */
  readonly epoch: number;
  /** The worker it is on. */
  readonly worker: string;
}

/** A workshop at one moment. */
export interface WorkshopInfo {
  /** `ws-` and ten of [a-z0-9]. */
  readonly id: string;
  readonly name: string;
  /** How many seats are wanted. */
  readonly seats: number;
  readonly runtime: Runtime;
  /** The join code. */
  readonly code: string;
  readonly status: WorkshopStatus;
  /** Why it is there and what happens next, for people. */
  readonly reason: string;
  readonly createdAt: Date | undefined;
  /** When its time is over and it deletes itself. */
  readonly expiresAt: Date | undefined;
  readonly deletedAt: Date | undefined;
  readonly workers: readonly WorkerInfo[];
  /** Its seats by number; empty in lists. */
  readonly seatList: readonly SeatInfo[];
  /** How many of them answer. */
  readonly seatsReady: number;
  readonly resources: Resources;
  readonly egress: Egress;
  readonly template: string;
  /** What learners read beside their terminal, Markdown. */
  readonly instructions: string;
  readonly owner: string;
  /** Names of the environment variables given to seats. */
  readonly envNames: readonly string[];
  /** The certificate of the workshop's own CA, PEM. */
  readonly caCertificate: string;
  /** Grows with every change. */
  readonly revision: number;
}

/** Something people should know now. */
export interface Notice {
  readonly kind: "preempted" | "expiring" | "draining" | "help" | "collected" | Unknown;
  /** For people. */
  readonly message: string;
  /** When it happens. */
  readonly at: Date | undefined;
}

/** One message of a watch of a workshop. */
export interface WorkshopChange {
  /** The whole workshop; undefined in a message that carries only notices. */
  readonly workshop: WorkshopInfo | undefined;
  /** Notices since the last message. */
  readonly notices: readonly Notice[];
}

/** One message of a watch of a learner's seat. */
export interface SeatChange {
  readonly state: SeatState;
  /** Why, for people. */
  readonly reason: string;
  /** Seats that start before this one; 0 when it is ready or next. */
  readonly queuePosition: number;
  /** Notices since the last message. */
  readonly notices: readonly Notice[];
  /** When the workshop ends. */
  readonly expiresAt: Date | undefined;
  readonly workshopStatus: WorkshopStatus;
  /** Grows with every change. */
  readonly revision: number;
}

/** One seat's screen, small. */
export interface Preview {
  readonly seat: number;
  /** Its lines, without colours. */
  readonly lines: readonly string[];
  readonly changedAt: Date | undefined;
  /** The names of the seat's terminals. */
  readonly terminals: readonly string[];
}

/** What a workshop has cost so far. */
export interface WorkshopCost {
  /** How long its workers have run, all of them together, in milliseconds. */
  readonly workerMs: number;
  /** In US dollars; undefined where the server was not told what a worker costs. */
  readonly totalUsd: number | undefined;
  /** How the figure came about, for people. */
  readonly explanation: string;
}

/** A price. */
export interface CostEstimate {
  /** Millionths of a US dollar. */
  readonly totalMicrousd: number;
  /** In US dollars. */
  readonly totalUsd: number;
  /** Workers it would take. */
  readonly workers: number;
  /** How the figure came about, for people. */
  readonly explanation: string;
}

/** An API token, without its text. */
export interface ApiToken {
  readonly id: string;
  readonly label: string;
  /** Whom it speaks for. */
  readonly principal: string;
  readonly role: Role;
  readonly createdAt: Date | undefined;
  readonly revokedAt: Date | undefined;
}
