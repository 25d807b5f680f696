/** Is all well? If not: what is wrong, and where to look. */

import type { Status } from "./types.ts";

export interface Verdict { level: "good" | "warn" | "bad"; reasons: string[] }

const UNREADY: Record<string, string> = {
  chrome_ready: "no Chrome is ready",
  rendered_recently: "the last probe or render is too long ago",
  accepting: "the service stops and accepts no renders",
};

/** The verdict on a reading, and on what has changed since the one before. */
export function judge(now: Status, before: Status | null): Verdict {
  const bad: string[] = [];
  const warn: string[] = [];
  const unready = Object.entries(now.readiness).filter(([, is]) => !is).map(([name]) => UNREADY[name] ?? name);
  if (unready.length) bad.push(`Not ready: ${unready.join(", ")}.`);
  if (now.census.zombies.length) bad.push(`Zombies: ${now.census.zombies.length}. Their parent does not wait for them; see its pid below.`);
  if (now.pool.survivors.length) bad.push(`Processes that outlived SIGKILL: ${now.pool.survivors.length}. The kernel holds them; is a disk or a mount stuck?`);
  const left = now.leases.filter((one) => one.state === null);
  if (left.length) bad.push(`Processes of no Chrome of the pool: ${left.reduce((sum, one) => sum + one.processes.length, 0)}. They were left behind; see ${left.map((one) => `lease ${one.lease}`).join(", ")} below.`);
  if (!now.jobs.reachable) bad.push("The queue of jobs is not reachable: its Redis does not answer.");
  if (now.census.shared_memory.length) warn.push(`Chrome left ${now.census.shared_memory.length} files in /dev/shm.`);
  if (now.pool.unclean) warn.push(`${now.pool.unclean} Chromes needed the backstop to end.`);
  if (now.pool.failed_starts) warn.push(`${now.pool.failed_starts} starts of Chrome failed; the log says why.`);
  if (now.watchdog.stalls) warn.push(`The event loop stalled ${now.watchdog.stalls === 1 ? "once" : `${now.watchdog.stalls} times`}; is the machine out of CPU?`);
  for (const one of now.templates.faults) warn.push(`Template ${one.name} ${one.in_use ? "is served as before its last change" : "cannot be used"}: ${one.mistakes[0] ?? ""}.`);
  if (before) {
    const refused = now.admission.refused - before.admission.refused;
    if (refused > 0) warn.push(`${refused} renders were refused within seconds: the queue is full.`);
    const failed = share(now, before);
    if (failed !== null) warn.push(failed);
  }
  if (bad.length) return { level: "bad", reasons: [...bad, ...warn] };
  return warn.length ? { level: "warn", reasons: warn } : { level: "good", reasons: ["All is well: ready, no zombie, no survivor, no leftover."] };
}

/** A sentence if more than one in five of the renders between two readings failed at the service. */
function share(now: Status, before: Status): string | null {
  const OURS = /^(chrome_died|page_crashed|page_failed|internal_error|cannot_render|render_timeout|storage_failed)$/;
  let all = 0;
  let failed = 0;
  for (const [code, number] of Object.entries(now.renders.outcomes)) {
    const more = number - (before.renders.outcomes[code] ?? 0);
    all += more;
    if (OURS.test(code)) failed += more;
  }
  return all >= 5 && failed / all > 0.2 ? `${failed} of the last ${all} renders failed; see the last errors.` : null;
}
