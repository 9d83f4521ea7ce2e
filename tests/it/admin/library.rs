//! Listing and changing jobs through the library (CONFORMANCE 39, 40).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::database::TestDatabase;
use crate::support::jobs;
use crate::support::timing::takes_less_than;
use postrider::admin::{self, FailedFilter, ListFilter};
use postrider::{Args, Error, NewJob, State};

#[tokio::test]
async fn a_list_shows_each_job_once_while_jobs_are_added_and_finished() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut before = BTreeSet::new();
    for n in 0..60 {
        before.insert(match n % 3 {
            0 => jobs::waiting(&client, "mail").await,
            1 => jobs::finished(&client, "mail", "completed").await,
            _ => jobs::retryable(&client, "mail", "boom").await,
        });
    }
    let mut filter = ListFilter { limit: 7, ..ListFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = admin::list(&client, &filter).await.unwrap();
        seen.extend(page.iter().map(|job| job.id));
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        jobs::waiting(&client, "mail").await;
        // A job that moves to history between two pages is neither lost nor shown twice.
        let _ = admin::cancel(&client, last.id - 3).await;
    }
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), before);
}

#[tokio::test]
async fn failures_page_newest_first_over_both_tables_while_more_are_added() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mut before = Vec::new();
    for n in 0..40 {
        before.push(match n % 2 {
            0 => jobs::retryable(&client, "mail", "boom").await,
            _ => jobs::finished(&client, "mail", "discarded").await,
        });
    }
    // Equal times: the id decides.
    client.execute("UPDATE postrider.job SET failed_at = '2026-01-01Z'", &[]).await.unwrap();
    client.execute("UPDATE postrider.job_history SET finished_at = '2026-01-01Z'", &[]).await.unwrap();
    let mut filter = FailedFilter { limit: 3, ..FailedFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = admin::failed(&client, &filter).await.unwrap();
        seen.extend(page.iter().map(|(_, job)| job.id));
        let Some((at, job)) = page.last() else { break };
        filter.after = Some(((*at).into(), job.id));
        jobs::retryable(&client, "mail", "newer").await;
    }
    before.reverse();
    assert_eq!(seen, before);
}

#[tokio::test]
async fn failures_are_filtered_by_kind_queue_age_and_state() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let mail = jobs::retryable(&client, "mail", "boom").await;
    let pdf = jobs::finished(&client, "pdf", "discarded").await;
    let again = jobs::retryable(&client, "mail", "running again").await;
    let old = jobs::retryable(&client, "old", "long ago").await;
    jobs::finished(&client, "mail", "completed").await;
    jobs::waiting(&client, "mail").await;
    client.execute("UPDATE postrider.job SET running = true WHERE id = $1", &[&again]).await.unwrap();
    client.execute("UPDATE postrider.job SET queue = 'slow' WHERE id = $1", &[&mail]).await.unwrap();
    client
        .execute("UPDATE postrider.job SET failed_at = now() - interval '1 day' WHERE id = $1", &[&old])
        .await
        .unwrap();
    let all = FailedFilter::default();
    for (filter, ids) in [
        (all.clone(), vec![again, pdf, mail, old]),
        (FailedFilter { kind: Some("mail".into()), ..all.clone() }, vec![again, mail]),
        (FailedFilter { queue: Some("slow".into()), ..all.clone() }, vec![mail]),
        (FailedFilter { since: Some(Duration::from_hours(1)), ..all.clone() }, vec![again, pdf, mail]),
        (FailedFilter { state: Some(State::Retryable), ..all.clone() }, vec![again, mail, old]),
        (FailedFilter { state: Some(State::Discarded), ..all.clone() }, vec![pdf]),
        (FailedFilter { limit: 2, ..all }, vec![again, pdf]),
    ] {
        let found: Vec<_> = admin::failed(&client, &filter).await.unwrap().into_iter().map(|(_, job)| job.id).collect();
        assert_eq!(found, ids, "{filter:?}");
    }
}

#[tokio::test]
async fn each_state_lists_the_jobs_that_the_view_says_are_in_it() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for _ in 0..2 {
        jobs::waiting(&client, "mail").await;
        jobs::running(&client, "mail").await;
        jobs::retryable(&client, "mail", "boom").await;
        for state in ["completed", "cancelled", "discarded"] {
            jobs::finished(&client, "mail", state).await;
        }
        let later = NewJob::new("mail", Args::default()).unwrap().run_in(Duration::from_hours(1)).unwrap();
        postrider::enqueue::enqueue_job(&client, later).await.unwrap();
        // Running again after a failure is running; due again is still retryable.
        let again = jobs::retryable(&client, "mail", "boom").await;
        client.execute("UPDATE postrider.job SET running = true WHERE id = $1", &[&again]).await.unwrap();
        let due = jobs::retryable(&client, "mail", "boom").await;
        client.execute("UPDATE postrider.job SET run_at = now() WHERE id = $1", &[&due]).await.unwrap();
    }
    for state in State::ALL {
        let filter = ListFilter { state: Some(state), ..ListFilter::default() };
        let listed: Vec<i64> = admin::list(&client, &filter).await.unwrap().iter().map(|job| job.id).collect();
        let rows = client
            .query("SELECT id FROM postrider.jobs WHERE state = $1 ORDER BY id DESC", &[&state.as_str()])
            .await
            .unwrap();
        let expected: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!expected.is_empty());
        assert_eq!(listed, expected, "{state}");
    }
}

#[tokio::test]
async fn a_retried_discarded_job_has_a_fresh_budget_and_its_claim_goes_on_rising() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::finished(&client, "mail", "discarded").await;
    let job = admin::retry(&client, id).await.unwrap();
    assert_eq!((job.state, job.attempt, job.max_attempts), (State::Available, 0, 3));
    assert!(job.finished_at.is_none());
    assert_eq!(job.error.as_deref(), Some("gave up"), "what went wrong before stays known");
    assert_eq!(jobs::count(&client, "SELECT claim::int8 FROM postrider.job").await, 7);
    assert_eq!(jobs::count(&client, "SELECT count(*) FROM postrider.job_history").await, 0);
    assert!(admin::failed(&client, &FailedFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_retried_waiting_job_is_due_now_and_a_running_one_is_refused() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::retryable(&client, "mail", "boom").await;
    let job = admin::retry(&client, id).await.unwrap();
    assert!(job.run_at <= admin::now(&client).await.unwrap());
    assert_eq!((job.state, job.attempt), (State::Retryable, 1));

    let held = jobs::running(&client, "mail").await;
    let refused = admin::retry(&client, held).await.unwrap_err();
    assert!(matches!(refused, Error::InvalidState { state: State::Running, .. }), "{refused}");
    assert!(matches!(admin::retry(&client, 987_654).await, Err(Error::NotFound(987_654))));
}

#[tokio::test]
async fn a_job_whose_unique_key_was_taken_since_is_not_retried_and_not_lost() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let id = jobs::finished(&client, "mail", "discarded").await;
    jobs::set_key(&client, id, "welcome/7").await;
    let holder = jobs::waiting(&client, "mail").await;
    jobs::set_key(&client, holder, "welcome/7").await;
    for refused in [admin::retry(&client, id).await.map(drop), admin::retry_failed(&client, id).await.map(drop)] {
        let refused = refused.unwrap_err();
        assert!(matches!(&refused, Error::KeyTaken { unique_key, .. } if unique_key == "welcome/7"), "{refused}");
    }
    let many = admin::retry_failed_many(&client, &[id]).await.unwrap();
    assert_eq!((many.retried, many.key_taken), (vec![], vec![id]));
    assert_eq!(admin::find(&client, id).await.unwrap().unwrap().state, State::Discarded);
}

#[tokio::test]
async fn only_failed_jobs_are_retried_from_a_list_that_may_be_old() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let retryable = jobs::retryable(&client, "mail", "boom").await;
    let discarded = jobs::finished(&client, "mail", "discarded").await;
    assert!(admin::retry_failed(&client, retryable).await.unwrap());
    assert!(admin::retry_failed(&client, discarded).await.unwrap());
    for other in [
        jobs::finished(&client, "mail", "completed").await,
        jobs::finished(&client, "mail", "cancelled").await,
        jobs::running(&client, "mail").await,
        jobs::waiting(&client, "mail").await,
        987_654,
    ] {
        assert!(!admin::retry_failed(&client, other).await.unwrap());
    }
}

#[tokio::test]
async fn cancelling_ends_a_waiting_job_asks_for_a_running_one_and_refuses_a_finished_one() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for waiting in [jobs::waiting(&client, "mail").await, jobs::retryable(&client, "mail", "boom").await] {
        let job = admin::cancel(&client, waiting).await.unwrap();
        assert_eq!(job.state, State::Cancelled);
        assert!(job.finished_at.is_some());
    }
    let running = jobs::running(&client, "mail").await;
    assert_eq!(admin::cancel(&client, running).await.unwrap().state, State::Running);
    assert_eq!(
        jobs::count(&client, "SELECT count(*) FROM postrider.job WHERE cancel_requested_at IS NOT NULL").await,
        1
    );

    for state in ["completed", "cancelled", "discarded"] {
        let finished = jobs::finished(&client, "mail", state).await;
        let refused = admin::cancel(&client, finished).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidState { .. }), "{refused}");
    }
    assert!(matches!(admin::cancel(&client, 987_654).await, Err(Error::NotFound(987_654))));
}

#[tokio::test]
async fn figures_are_what_psql_counts() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    for priority in [1, 2, 3, 4] {
        client
            .execute(
                "INSERT INTO postrider.job (kind, queue, priority, run_at, failed_at, running)
                 SELECT 'mail', (ARRAY['a', 'b'])[1 + n % 2], $1::int4::int2, now() + (n % 5 - 3) * interval '1 minute',
                        CASE WHEN n % 7 = 0 THEN now() END, n % 11 = 0 AND n % 5 < 3
                 FROM generate_series(1, 500) AS n",
                &[&priority],
            )
            .await
            .unwrap();
    }
    admin::pause(&client, "b").await.unwrap();
    admin::pause(&client, "c").await.unwrap();
    let queues = admin::stats(&client).await.unwrap();
    assert_eq!(queues.iter().map(|queue| queue.queue.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    for queue in &queues {
        for (state, figure) in [
            ("available", queue.available),
            ("running", queue.running),
            ("scheduled", queue.scheduled),
            ("retryable", queue.retryable),
        ] {
            let query =
                format!("SELECT count(*) FROM postrider.jobs WHERE queue = '{}' AND state = '{state}'", queue.queue);
            assert_eq!(figure.value, jobs::count(&client, &query).await, "{state} of {}", queue.queue);
            assert!(!figure.capped);
        }
        assert_eq!(queue.paused, queue.queue != "a");
        assert_eq!(queue.oldest_waiting_seconds.is_some(), queue.queue != "c");
    }
    let oldest = queues[0].oldest_waiting_seconds.unwrap();
    assert!((180.0..300.0).contains(&oldest), "{oldest}");
    admin::resume(&client, "c").await.unwrap();
    assert!(admin::stats(&client).await.unwrap().iter().all(|queue| queue.queue != "c" || !queue.paused));
}

#[tokio::test]
async fn a_worker_without_heartbeats_is_not_live_and_serves_no_queue() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO postrider.worker (id, lock_key, lease_ms, pid, host, version, queues, concurrency, heartbeat_at)
             VALUES ('00000000-0000-0000-0000-000000000001', 1, 60000, 7, 'a', 'v', '{mail,slow}', '{20,3}', now()),
                    ('00000000-0000-0000-0000-000000000002', 2, 15000, 8, 'b', 'v', '{mail}', '{100}', now() - interval '16 s')",
        )
        .await
        .unwrap();
    let workers = admin::workers(&client).await.unwrap();
    let shown: Vec<_> = workers.iter().map(|worker| (worker.host.as_str(), worker.pid, worker.live)).collect();
    assert_eq!(shown, [("a", 7, true), ("b", 8, false)]);
    let served: Vec<_> = workers[0].queues.iter().map(|served| (served.queue.as_str(), served.concurrency)).collect();
    assert_eq!(served, [("mail", 20), ("slow", 3)]);
    let queues = admin::queues(&client).await.unwrap();
    let shown: Vec<_> = queues.iter().map(|queue| (queue.queue.as_str(), queue.workers, queue.concurrency)).collect();
    assert_eq!(shown, [("mail", 1, 20), ("slow", 1, 3)]);
    let stats = admin::stats(&client).await.unwrap();
    assert_eq!(stats.iter().map(|queue| queue.workers).collect::<Vec<_>>(), [1, 1]);
}

#[tokio::test]
async fn figures_are_capped_at_ten_thousand_and_failures_behind_a_backlog_are_still_counted() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    let fill = "INSERT INTO postrider.job (kind, queue, run_at)
                SELECT 'mail', $1, now() - interval '1 hour' FROM generate_series(1, $2)";
    client.execute(fill, &[&"big", &25_000_i32]).await.unwrap();
    client.execute(fill, &[&"even", &10_000_i32]).await.unwrap();
    client
        .batch_execute(
            "INSERT INTO postrider.job (kind, queue, failed_at) SELECT 'mail', 'big', now() FROM generate_series(1, 5)",
        )
        .await
        .unwrap();
    let queues = admin::stats(&client).await.unwrap();
    let (big, even) = (&queues[0], &queues[1]);
    assert_eq!((big.available.value, big.available.capped), (10_000, true));
    assert_eq!((big.retryable.value, big.retryable.capped), (5, false));
    assert_eq!((even.available.value, even.available.capped), (10_000, false));
}

#[tokio::test]
async fn a_list_of_finished_jobs_does_not_walk_the_waiting_ones() {
    let database = TestDatabase::new().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "INSERT INTO postrider.job (kind) SELECT 'mail' FROM generate_series(1, 200000);
             ANALYZE postrider.job",
        )
        .await
        .unwrap();
    let read = "SELECT coalesce(seq_tup_read + idx_tup_fetch, 0)::int8 FROM pg_stat_xact_user_tables
                WHERE schemaname = 'postrider' AND relname = 'job'";
    client.batch_execute("BEGIN").await.unwrap();
    for state in [State::Completed, State::Cancelled, State::Discarded, State::Retryable] {
        let filter = ListFilter { state: Some(state), ..ListFilter::default() };
        assert!(admin::list(&client, &filter).await.unwrap().is_empty());
        assert_eq!(jobs::count(&client, read).await, 0, "{state}");
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    // Without the limits of its walks, or compiled by JIT, it takes seconds on any machine.
    takes_less_than(Duration::from_millis(1500), "to count the jobs", async || {
        let start = Instant::now();
        admin::stats(&client).await.unwrap();
        start.elapsed()
    })
    .await;
}
