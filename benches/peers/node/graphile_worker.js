// graphile-worker, the Node one. `best` is the preset of its own performance page: 24 jobs
// at once, a local queue of 500, completions and failures in batches without a delay.

import { Logger, WorkerPreset, makeWorkerUtils, run as runWorker, runMigrations } from "graphile-worker";

import { run } from "./protocol.js";

const TASK = "nothing";

// Its log line for each job would be measured along.
const logger = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

const best = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

const options = (worker) => ({
  preset: {
    extends: [WorkerPreset],
    worker: { connectionString: process.env.DATABASE_URL, logger, ...worker },
  },
});

await run({
  presets: { defaults: {}, best },

  install: () => runMigrations(options()),

  async connect() {
    const utils = await makeWorkerUtils(options({ maxPoolSize: 1 }));
    return {
      enqueue: (n) => utils.addJob(TASK, { n }),
      enqueueBulk: (numbers) => utils.addJobs(numbers.map((n) => ({ identifier: TASK, payload: { n } }))),
    };
  },

  async work(settings, start) {
    const runner = await runWorker(options(settings), {
      [TASK]: async (payload) => {
        start(payload.n);
      },
    });
    await runner.promise;
  },
});
