// What every driver is told, and what it answers: the Node half of the protocol that
// `benches/peers/README.md` describes. Whatever is timed is timed here, in the same way
// for every system; a driver only says how its system does a thing.

import { setTimeout as sleep } from "node:timers/promises";

/** Microseconds since 1970, on the clock that all processes of one machine share. */
const now = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

const answer = (object) => process.stdout.write(`${JSON.stringify(object)}\n`);

/**
 * Does what the command line asks of a system, and ends the process.
 *
 * A driver has `presets`, the settings of each by its name, `install(settings)`,
 * `connect(settings)` and `work(settings, start)`. What `connect` gives has
 * `enqueue(number)` and `enqueueBulk(numbers)`, both committed when they return.
 * `start(number)` is to be called in the first line of a handler.
 */
export async function run(driver) {
  const [preset, call, ...words] = process.argv.slice(2);
  const [jobs, other] = words.map(Number);
  if (!Object.hasOwn(driver.presets, preset)) throw new Error(`no such preset: ${preset}`);
  const settings = driver.presets[preset];
  switch (call) {
    case "install":
      await driver.install(settings);
      break;
    case "enqueue-one":
      await oneByOne(await driver.connect(settings), jobs);
      break;
    case "enqueue-bulk":
      await inBulk(await driver.connect(settings), jobs, other);
      break;
    case "enqueue-paced":
      await paced(await driver.connect(settings), jobs, other);
      break;
    case "work":
    case "pickup":
      // Before anything of the system runs, so that all pay for their connections alike.
      answer({ event: "start", at: now() });
      await driver.work(settings, tally(jobs, other, call === "pickup"));
      return;
    default:
      throw new Error(`no such call: ${call}`);
  }
  process.exit(0);
}

// The first tenth, at most a hundred, is not timed: it prepares statements and fills caches.
async function oneByOne(producer, jobs) {
  const untimed = Math.min(Math.floor(jobs / 10), 100);
  for (let number = 0; number < untimed; number++) await producer.enqueue(number);
  const began = now();
  for (let number = untimed; number < jobs; number++) await producer.enqueue(number);
  answer({ jobs: jobs - untimed, began, ended: now() });
}

async function inBulk(producer, jobs, chunk) {
  const began = now();
  for (let next = 0; next < jobs; next += chunk) {
    const length = Math.min(chunk, jobs - next);
    await producer.enqueueBulk(Array.from({ length }, (_, place) => next + place));
  }
  answer({ jobs, began, ended: now() });
}

async function paced(producer, jobs, pauseMicros) {
  const committed = [];
  for (let number = 0; number < jobs; number++) {
    await sleep((pauseMicros / 1000) * (0.5 + Math.random()));
    await producer.enqueue(number);
    committed.push(now());
  }
  answer({ committed });
}

/** Counts the starts of handlers, and says when the last of the warm-up and of all was. */
function tally(jobs, warmUp, recorded) {
  const started = [];
  let seen = 0;
  return (number) => {
    const at = recorded ? now() : 0;
    seen += 1;
    if (recorded && seen > warmUp) started.push([number, at]);
    if (seen === warmUp) answer({ event: "warm", at: now() });
    if (seen === warmUp + jobs) answer({ event: "handled", at: now(), started });
  };
}
