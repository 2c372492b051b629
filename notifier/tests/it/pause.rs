//! Operators pause and resume owners, and read the story of an export and the state of the installation.

use entity::pause;
use protocol::{
    export::Status,
    id::{ExportId, Owner},
    ops::{
        CancelReply, CancelRequest, ExportLookup, ExportStory, ExportsReply, ExportsRequest, HistoryKind, Overview,
        OverviewReply, OverviewRequest, PauseReply, PauseRequest, PausesReply, PausesRequest, ResumeReply,
        ResumeRequest, StoryReply,
    },
    problem::Slug,
    subject,
};
use serde_json::json;

use crate::harness::{Harness, alice, completed, observation_time, operator_request};

async fn set_paused(h: &Harness, user: Option<&str>) -> bool {
    let request = PauseRequest {
        tenant: "acme".into(),
        user: user.map(Into::into),
        reason: " floods the queue ".into(),
        operator: Some("olga".into()),
    };
    match operator_request(h, subject::OPS_PAUSE, &request).await {
        PauseReply::Paused { pause, changed } => {
            assert_eq!((pause.reason.as_str(), pause.paused_by.as_str()), ("floods the queue", "olga"));
            changed
        }
        PauseReply::Refused { problem } => panic!("{problem}"),
    }
}

async fn resume(h: &Harness, user: Option<&str>) -> (bool, bool) {
    let request = ResumeRequest { tenant: "acme".into(), user: user.map(Into::into), ..ResumeRequest::default() };
    match operator_request(h, subject::OPS_RESUME, &request).await {
        ResumeReply::Resumed { changed, still_paused, .. } => (changed, still_paused.is_some()),
        ResumeReply::Refused { problem } => panic!("{problem}"),
    }
}

async fn story(h: &Harness, export_id: ExportId) -> ExportStory {
    match operator_request(h, subject::OPS_STORY, &ExportLookup { export_id }).await {
        StoryReply::Story { story } => *story,
        StoryReply::Refused { problem } => panic!("{problem}"),
    }
}

async fn overview(h: &Harness) -> Overview {
    match operator_request(h, subject::OPS_OVERVIEW, &OverviewRequest {}).await {
        OverviewReply::Overview { overview } => *overview,
        OverviewReply::Refused { problem } => panic!("{problem}"),
    }
}

#[tokio::test]
async fn exports_of_a_paused_tenant_wait_until_it_resumes_and_others_run() {
    let h = Harness::running().await;
    let dispatched = h.submit().await;
    h.wait_for_status(dispatched, Status::Dispatched).await;
    assert!(set_paused(&h, None).await);
    assert!(!set_paused(&h, None).await, "a repeated request changes nothing");
    let waiting = h.submit().await;
    let other = h.submit_for(Owner::new("globex", "bob")).await;
    h.wait_for_status(other, Status::Dispatched).await;
    observation_time().await;
    for id in [dispatched, waiting] {
        assert_eq!(h.row(id).await.status, Status::Queued.as_str());
    }
    let state = overview(&h).await;
    assert_eq!((state.totals.paused, state.totals.waiting, state.totals.dispatched), (2, 0, 1));
    assert_eq!(state.pauses[0].reason, "floods the queue");
    let paused_group = state.queue.iter().find(|group| group.tenant == "acme").expect("a group");
    assert!(paused_group.paused && paused_group.waiting == 2);

    assert!(set_paused(&h, Some(&alice().user)).await);
    assert_eq!(resume(&h, Some(&alice().user)).await, (true, true), "the tenant is still paused");
    assert_eq!(resume(&h, None).await, (true, false));
    assert_eq!(resume(&h, None).await, (false, false));
    for id in [dispatched, waiting] {
        h.wait_for_status(id, Status::Dispatched).await;
    }
    // The export that was taken back has a second job, and the old one starts nothing.
    let numbers: Vec<u32> =
        h.all_jobs().await.iter().filter(|(_, job)| job.export_id == dispatched).map(|(_, job)| job.number).collect();
    assert_eq!(numbers, [0, 1]);
    let acts: Vec<_> = overview(&h).await.acts.into_iter().map(|act| act.action).collect();
    assert_eq!(acts, ["resume", "resume", "pause", "pause"]);
    let PausesReply::Pauses { items } = operator_request(&h, subject::OPS_PAUSES, &PausesRequest {}).await else {
        panic!("refused")
    };
    assert_eq!(items, []);
    assert_eq!(pause::list(&h.db, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_pause_needs_an_owner_and_a_reason() {
    let h = Harness::running().await;
    for (request, pointer) in [
        (json!({"reason": "why"}), "/tenant"),
        (json!({"tenant": "acme"}), "/reason"),
        (json!({"tenant": "acme", "reason": "  "}), "/reason"),
        (json!({"tenant": "acme", "reason": "x".repeat(501)}), "/reason"),
        (json!({"tenant": "acme", "user": "", "reason": "why"}), "/user"),
        (json!({"tenant": "ac\0me", "reason": "why"}), "/tenant"),
    ] {
        let reply: PauseReply = operator_request(&h, subject::OPS_PAUSE, &request).await;
        let PauseReply::Refused { problem } = reply else { panic!("{request}") };
        assert_eq!((problem.slug(), problem.errors[0].pointer.as_str()), (Slug::InvalidRequest, pointer), "{request}");
    }
    assert_eq!(pause::list(&h.db, 10).await.unwrap(), []);
}

#[tokio::test]
async fn a_story_has_the_events_attempts_segments_and_acts_of_an_export() {
    let h = Harness::running().await;
    let (id, attempt) = h.running_export().await;
    let segments = h.write_segments(id, attempt, &[b"a,b\n", b"c,d\n"]).await;
    let again = h.claim(id).await;
    let segments_again = h.write_segments(id, again, &[b"a,b\n"]).await;
    assert_eq!((segments.len(), segments_again.len()), (2, 1));
    h.publish_outcome(id, "done", completed(again, &segments_again)).await;
    h.wait_for_status(id, Status::Completed).await;
    let full_story = story(&h, id).await;
    use HistoryKind::{AttemptReleased, AttemptStarted, Completed, Dispatched, Queued};
    let kinds: Vec<_> = full_story.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Queued, Dispatched, AttemptStarted, AttemptReleased, AttemptStarted, Completed]);
    let attempts: Vec<_> = full_story.attempts.iter().map(|one| (one.number, one.result)).collect();
    assert_eq!(attempts, [(1, Some(AttemptReleased)), (2, Some(Completed))]);
    let last = &full_story.attempts[1];
    assert_eq!((last.segments, last.rows, last.bytes, last.exporter.as_deref()), (1, 1, 4, Some("worker")));
    assert_eq!(full_story.summary.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(full_story.file.map(|file| file.size), Some(4));
    assert_eq!((full_story.acts.len(), full_story.dead_letters.len(), full_story.problem), (0, 0, None));

    let (second, _) = h.running_export().await;
    let cancel =
        CancelRequest { export_id: second, operator: Some("olga".into()), reason: Some("runs for days".into()) };
    let reply: CancelReply = operator_request(&h, subject::OPS_CANCEL, &cancel).await;
    assert!(matches!(reply, CancelReply::Requested { .. }), "{reply:?}");
    h.wait_for_status(second, Status::Canceled).await;
    let full_story = story(&h, second).await;
    let act = &full_story.acts[0];
    assert_eq!(
        (act.action.as_str(), act.operator.as_str(), act.reason.as_deref()),
        ("cancel", "olga", Some("runs for days"))
    );
    assert!(full_story.events.iter().any(|event| event.kind == HistoryKind::CancelRequested));
    let text = serde_json::to_string(&full_story).unwrap();
    for hidden in ["\"filter\"", "\"params\"", "\"claims\""] {
        assert!(!text.contains(hidden), "{text}");
    }

    let unknown = ExportLookup { export_id: ExportId::generate() };
    let reply: StoryReply = operator_request(&h, subject::OPS_STORY, &unknown).await;
    assert!(matches!(reply, StoryReply::Refused { problem } if problem.slug() == Slug::NotFound));
}

#[tokio::test]
async fn exports_are_found_by_a_part_of_a_name() {
    let h = Harness::running().await;
    let first = h.submit().await;
    let second = h.submit_for(Owner::new("globex", "bob")).await;
    let find = async |text: &str| {
        let request = ExportsRequest { text: Some(text.into()), ..ExportsRequest::default() };
        match operator_request(&h, subject::OPS_EXPORTS, &request).await {
            ExportsReply::Exports { items, .. } => items.iter().map(|item| item.id).collect::<Vec<_>>(),
            ExportsReply::Refused { problem } => panic!("{problem}"),
        }
    };
    assert_eq!(find("LIGHT").await, [second, first]);
    assert_eq!(find("glob").await, [second]);
    assert_eq!(find(&first.to_string()).await, [first]);
    assert_eq!(find("0af7651916cd43dd8448eb211c80319c").await, [second, first], "by the trace id");
    assert_eq!(find("l_ght").await, []);
    let long = ExportsRequest { text: Some("x".repeat(300)), ..ExportsRequest::default() };
    let reply: ExportsReply = operator_request(&h, subject::OPS_EXPORTS, &long).await;
    assert!(matches!(reply, ExportsReply::Refused { problem } if problem.errors[0].pointer == "/text"));
}
