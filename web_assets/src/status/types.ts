/** GET /status, as far as this page knows it; it shows what it does not know as it is. */

export interface Process { pid: number; name: string; state: string; parent: number; memory_bytes: number; age_seconds: number; depth?: number }

export interface LastError { time: number; status: number; code: string; route: string; caller: string; request_id: string }

export interface Status {
  version: string;
  chrome: { program: string; sandbox: string; user: string };
  service: { memory_bytes: number; descriptors: number; age_seconds: number };
  readiness: Record<string, boolean>;
  renders: {
    outcomes: Record<string, number>; ok_seconds: number; last_errors: LastError[];
    /** Requests that were refused before a render began, by code. */
    refused: Record<string, number>;
    /** All of these by whose fault they were. */
    errors: { caller: number; service: number };
  };
  /** `state` is that of the lease's Chrome in the pool; null if the pool has no such Chrome. */
  leases: { lease: number; state: string | null; memory_bytes: number; processes: Process[] }[];
  census: { alive: number; zombies: Process[]; folders: string[]; shared_memory: string[]; memory_bytes: number };
  pool: { counts: Record<string, number>; waiting: number; failed_starts: number; unclean: number; survivors: Process[]; leftovers: number };
  admission: { running: number; waiting: number; refused: number; max_running: number };
  templates: { faults: { name: string; in_use: boolean; mistakes: string[] }[] };
  watchdog: { stalls: number };
  jobs: { reachable: boolean; queued?: number; running?: number; oldest_seconds?: number; outcomes_here: Record<string, number> };
  connections: { open: number; limit: number; refused: number };
}

/** An age in words: "12 s", "3 min", "5 h", "2 d". */
export function age(seconds: number): string {
  if (seconds < 100) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
