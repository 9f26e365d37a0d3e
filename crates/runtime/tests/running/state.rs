//! The durable state is changed by hand, while it is read and while it is not.

use std::time::Duration;

use tapline_core::{Checkpoint, Cursor, CursorForm, CursorWords};
use tapline_runtime::state::{CursorText, Document, Placement, Rewind, StateDesk, StateError};
use tapline_runtime::{CursorForms, Stopped};

use crate::fakes::{Counting, Told, line, start, up_to};

/// Cursors of [`Counting`] are numbers; here a number is also the second at which it was read.
pub(crate) fn forms() -> CursorForms {
    let form = CursorForm {
        describe: |cursor| {
            let text = number(cursor)?.to_string();
            Ok(CursorWords { text, at: None })
        },
        rewound: |checkpoint, to| {
            let second = u64::try_from(to.as_second()).expect("after 1970");
            Ok((second < number(&checkpoint.cursor)?).then(|| at(second)))
        },
        placed: |_, cursor| Ok(at(number(&cursor)?)),
    };
    CursorForms::from([("counting", form)])
}

fn number(cursor: &Cursor) -> Result<u64, String> {
    let bytes = cursor.as_bytes().try_into();
    bytes
        .map(u64::from_be_bytes)
        .map_err(|_| "is no number".to_owned())
}

fn at(number: u64) -> Checkpoint {
    Checkpoint {
        cursor: Cursor::new(number.to_be_bytes().to_vec()),
        ..Checkpoint::default()
    }
}

fn rewind(second: i64) -> Rewind {
    Rewind {
        to: jiff::Timestamp::from_second(second).expect("in range"),
        component: None,
        partition: None,
    }
}

/// Where the only partition of the source stands.
pub(crate) async fn stands_at(desk: &StateDesk) -> (u64, u64) {
    let standings = desk.show().await.expect("shown");
    let Some(alerts) = standings.iter().find(|it| it.component == "alerts") else {
        return (0, 0);
    };
    let position = alerts.position.as_deref().expect("in words");
    (position.parse().expect("a number"), alerts.entries)
}

async fn stands_beyond(desk: &StateDesk, number: u64) {
    let waiting = async {
        while stands_at(desk).await.0 <= number {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(3600), waiting).await;
    waited.expect("within an hour");
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_rewound_while_it_is_read_delivers_again_from_there_and_loses_nothing()
{
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::takes_fifty_at_a_time();
    let running = start(folder.path(), line(&Counting::to(5000), &lake)).await;
    let desk = running.state(forms());
    stands_beyond(&desk, 300).await;
    let changed = desk.rewind(&rewind(100)).await.expect("moved");
    assert_eq!(changed.changed, ["alerts only"]);
    crate::fakes::until(|| {
        let delivered = lake.delivered();
        let times = delivered.iter().filter(|n| **n == 101).count();
        times == 2 && delivered.ends_with(&[5000])
    })
    .await;
    assert_eq!(running.stop().await, Stopped::Drained);

    let delivered = lake.delivered();
    let again = delivered.iter().rposition(|n| *n == 101).expect("again");
    assert!(again < 5000, "in the middle");
    assert_eq!(
        delivered[again..],
        up_to(5000)[100..],
        "in order, all of it"
    );
    let mut first = delivered[..again].to_vec();
    first.dedup();
    assert_eq!(first, up_to(first.len() as u64), "and before as well");
}

#[tokio::test(start_paused = true)]
async fn what_was_under_way_when_the_checkpoint_was_moved_never_moves_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::takes_fifty_at_a_time();
    let running = start(folder.path(), line(&Counting::to(1000), &lake)).await;
    lake.has(300).await;
    let desk = running.state(forms());
    let placement = Placement {
        component: "alerts".to_owned(),
        partition: "only".to_owned(),
        cursor: CursorText("base64:AAAAAAAABdw=".to_owned()), // 1500
    };
    desk.set(placement).await.expect("moved");
    // Everything in flight settles now, and is void.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stands_at(&desk).await, (1500, 0));
    running.stop().await;
}

#[tokio::test]
async fn without_a_process_the_folder_itself_is_changed_and_the_next_start_reads_from_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::takes_all();
    let running = start(folder.path(), line(&Counting::to(50), &lake)).await;
    lake.has(50).await;
    running.stop().await;
    {
        let data_dir = folder.path().join("data");
        let desk = StateDesk::open(&data_dir, forms()).await.expect("opens");
        let (number, entries) = stands_at(&desk).await;
        assert!(number == 50 && entries > 0, "{number} with {entries}");
        let forward = desk.rewind(&rewind(60)).await.expect("asked");
        assert_eq!((forward.changed.len(), forward.unchanged.len()), (0, 1));
        desk.rewind(&rewind(40)).await.expect("moved");
        assert_eq!(stands_at(&desk).await, (40, 0));
    }
    let running = start(folder.path(), line(&Counting::to(50), &lake)).await;
    lake.has(60).await;
    running.stop().await;
    assert_eq!(lake.delivered()[50..], up_to(50)[40..]);
}

/// The state of a folder in which so many events of a tenant were read.
async fn exported(folder: &std::path::Path, tenant: &'static str, last: u64) -> Vec<u8> {
    let lake = Told::takes_all();
    let numbers = Counting {
        tenant,
        ..Counting::to(last)
    };
    let running = start(folder, line(&numbers, &lake)).await;
    lake.has(usize::try_from(last).expect("few")).await;
    running.stop().await;
    let desk = StateDesk::open(&folder.join("data"), forms()).await;
    let document = desk.expect("opens").export().await.expect("exported");
    serde_json::to_vec(&document).expect("JSON")
}

#[tokio::test]
async fn a_document_is_taken_in_as_a_whole_and_one_of_a_foreign_stream_not_at_all() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let document = exported(old.path(), "contoso", 70).await;
    exported(new.path(), "contoso", 20).await;
    let data_dir = new.path().join("data");
    let desk = StateDesk::open(&data_dir, forms()).await.expect("opens");
    let parsed = Document::parse(&document).expect("ours");
    desk.import(parsed).await.expect("taken in");
    let (number, entries) = stands_at(&desk).await;
    assert!(number == 70 && entries > 0, "{number} with {entries}");

    let mut foreign: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
    let mut other = foreign["partitions"][0].clone();
    other["partition"] = "another".into();
    foreign["partitions"][0]["stream"]["parts"] = serde_json::json!([["tenant", "fabrikam"]]);
    foreign["partitions"]
        .as_array_mut()
        .expect("a list")
        .insert(0, other);
    let foreign = Document::parse(foreign.to_string().as_bytes()).expect("well formed");
    let StateError::Refused(why) = desk.import(foreign).await.expect_err("refused") else {
        panic!("for another reason");
    };
    assert!(why.contains("contoso") && why.contains("fabrikam"), "{why}");
    let standings = desk.show().await.expect("shown");
    assert_eq!(standings.len(), 1, "the partition that fits was left too");
}

#[test]
fn what_is_no_document_of_ours_says_why() {
    for (text, expected) in [
        ("{", "line 1"),
        (r#"{"format":9}"#, "format 9"),
        (
            r#"{"format":1,"exported_at":"2026-01-02T03:04:05Z","partitions":[{}]}"#,
            "component",
        ),
    ] {
        let why = Document::parse(text.as_bytes()).expect_err("refused");
        assert!(why.contains(expected), "{why}");
    }
}
