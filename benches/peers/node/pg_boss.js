// pg-boss. Its default is one job every two seconds. `best` is woken by notifications, takes
// a thousand jobs in a batch, which one call of the handler completes, and goes on without a
// pause while batches come back full.

import { PgBoss } from "pg-boss";

import { run } from "./protocol.js";

const QUEUE = "peers";

const best = {
  notify: true,
  work: {
    batchSize: 1000,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    notifyPollingIntervalSeconds: 0.5,
  },
};

async function started(options) {
  const boss = new PgBoss({ connectionString: process.env.DATABASE_URL, ...options });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  return boss;
}

// Scheduling and maintenance are the worker's; a producer has only its connection.
const producer = { max: 1, supervise: false, schedule: false, useListenNotify: false };

await run({
  presets: { defaults: { notify: false, work: {} }, best },

  async install(settings) {
    const boss = await started(producer);
    await boss.createQueue(QUEUE, { notify: settings.notify });
  },

  async connect() {
    const boss = await started(producer);
    return {
      enqueue: (n) => boss.send(QUEUE, { n }),
      enqueueBulk: (numbers) => boss.insert(QUEUE, numbers.map((n) => ({ data: { n } }))),
    };
  },

  async work(settings, start) {
    const boss = await started({ useListenNotify: settings.notify });
    await boss.work(QUEUE, settings.work, async (jobs) => {
      for (const job of jobs) start(job.data.n);
    });
  },
});
