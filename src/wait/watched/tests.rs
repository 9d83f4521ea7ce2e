use super::*;
use futures_util::FutureExt;

const SOON: Duration = Duration::from_secs(3);

/// The ids of a question that is due now, if there is one.
fn due(watched: &Watched) -> Option<Question> {
    watched.due(SOON).now_or_never()
}

fn ids_due(watched: &Watched) -> Option<Vec<JobId>> {
    due(watched).map(|question| question.ids)
}

fn delay_of(watched: &Watched, id: JobId) -> Duration {
    watched.0.jobs.lock().by_id.get(&id).map_or(Duration::MAX, |job| job.delay)
}

#[tokio::test]
async fn a_job_is_forgotten_with_its_last_wait() -> Result<(), Error> {
    let watched = Watched::default();
    let (first, second) = (watched.watch(7)?, watched.watch(7)?);
    drop(first);
    watched.end(7);
    assert!(second.ended().now_or_never().is_some());
    drop(second);
    assert!(watched.0.jobs.lock().by_id.is_empty() && watched.0.jobs.lock().questions.is_empty());
    assert_eq!(watched.0.jobs.lock().waits, 0);
    // A notification of a job that nobody waits for any more.
    watched.end(7);
    assert!(watched.watch(7)?.ended().now_or_never().is_none());
    Ok(())
}

#[tokio::test]
async fn a_second_wait_for_a_job_looks_at_it_too() -> Result<(), Error> {
    let watched = Watched::default();
    let _first = watched.watch(7)?;
    let question = due(&watched).expect("the first question");
    for _ in 0..5 {
        watched.is_unfinished(7, true, &question);
    }
    let second = watched.watch(7)?;
    assert!(second.known().now_or_never().is_none(), "what was known may be 15 s old");
    let question = due(&watched).expect("a question for the second wait");
    watched.is_unfinished(7, true, &question);
    assert_eq!(second.known().now_or_never(), Some(Progress::Unfinished));
    assert_eq!(delay_of(&watched, 7), FIRST);
    Ok(())
}

#[tokio::test]
async fn waits_are_limited_not_jobs() -> Result<(), Error> {
    let watched = Watched::default();
    let mut waits = (0..MAX_WAITS).map(|_| watched.watch(7)).collect::<Result<Vec<_>, _>>()?;
    assert!(watched.watch(7).is_err() && watched.watch(8).is_err());
    waits.pop();
    assert!(watched.watch(8).is_ok());
    Ok(())
}

#[tokio::test]
async fn questions_come_at_once_then_after_1_2_4_8_and_15_s_and_at_once_after_a_reconnect() -> Result<(), Error> {
    let watched = Watched::default();
    let _watch = watched.watch(7)?;
    let first = due(&watched).expect("the first question");
    let mut seconds = Vec::new();
    for _ in 0..6 {
        watched.is_unfinished(7, true, &first);
        assert!(due(&watched).is_none());
        seconds.push(delay_of(&watched, 7).as_secs());
    }
    assert_eq!(seconds, [1, 2, 4, 8, 15, 15]);
    watched.ask_for_all();
    let again = due(&watched).expect("a question");
    // It is asked for: not again at once.
    assert!(due(&watched).is_none());
    watched.is_unfinished(7, true, &again);
    assert_eq!(delay_of(&watched, 7), FIRST);
    Ok(())
}

#[tokio::test]
async fn an_answer_to_a_question_from_before_a_reconnect_is_asked_for_again() -> Result<(), Error> {
    let watched = Watched::default();
    let _watch = watched.watch(7)?;
    let before = due(&watched).expect("the first question");
    watched.ask_for_all();
    watched.is_unfinished(7, true, &before);
    assert_eq!(ids_due(&watched), Some(vec![7]));
    Ok(())
}

#[tokio::test]
async fn a_job_that_has_not_ended_after_all_is_asked_for_at_once() -> Result<(), Error> {
    let watched = Watched::default();
    let watch = watched.watch(7)?;
    let first = due(&watched).expect("the first question");
    watched.is_unfinished(7, true, &first);
    watched.end(7);
    assert!(watch.ended().now_or_never().is_some());
    // The sweep sleeps already.
    let asking = watched.clone();
    let sweep = tokio::spawn(async move { asking.due(SOON).await.ids });
    tokio::task::yield_now().await;
    watch.again();
    assert!(watch.ended().now_or_never().is_none());
    let asked = tokio::time::timeout(FIRST / 2, sweep).await.expect("at once").expect("no panic");
    assert_eq!(asked, [7]);
    Ok(())
}

#[tokio::test]
async fn jobs_that_are_due_soon_are_asked_for_with_those_that_are_due() -> Result<(), Error> {
    let watched = Watched::default();
    let _first = watched.watch(1)?;
    let question = due(&watched).expect("the first question");
    watched.is_unfinished(1, false, &question);
    assert_eq!(ids_due(&watched), None, "it is due in 10 ms");
    let _second = watched.watch(2)?;
    assert_eq!(ids_due(&watched), Some(vec![2, 1]));
    watched.is_unfinished(1, true, &question);
    watched.is_unfinished(2, true, &question);
    let _third = watched.watch(3)?;
    assert_eq!(ids_due(&watched), Some(vec![3]), "the others are due in a second");
    Ok(())
}

#[tokio::test]
async fn a_refused_question_is_told_only_to_those_who_know_nothing() -> Result<(), Error> {
    let watched = Watched::default();
    let (known, unknown) = (watched.watch(1)?, watched.watch(2)?);
    let question = due(&watched).expect("the first question");
    watched.is_unfinished(1, true, &question);
    watched.refused(&question);
    assert_eq!(known.known().now_or_never(), Some(Progress::Unfinished));
    assert_eq!(unknown.known().now_or_never(), Some(Progress::Refused));
    Ok(())
}

#[tokio::test]
async fn a_job_that_could_not_be_marked_is_asked_for_soon() -> Result<(), Error> {
    let watched = Watched::default();
    let _watch = watched.watch(7)?;
    let question = due(&watched).expect("the first question");
    let mut waited = Vec::new();
    for is_marked in [false, false, false, true, true] {
        watched.is_unfinished(7, is_marked, &question);
        waited.push(delay_of(&watched, 7).as_millis());
    }
    assert_eq!(waited, [10, 20, 40, 1_000, 2_000]);
    Ok(())
}
