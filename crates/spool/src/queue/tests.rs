//! What the queue promises, on a real file system.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;

const ROOM: Bounds = Bounds {
    max_bytes: 1 << 20,
    when_full: WhenFull::Block,
};

fn open(folder: &Path) -> Queue {
    Queue::open(folder).expect("opens")
}

fn append(queue: &Queue, bodies: &[&str]) {
    let mut writer = Writer::new(queue.clone(), ROOM);
    writer.append(bodies).expect("appended");
}

fn text(stored: &Stored) -> Vec<&str> {
    let text = |body| std::str::from_utf8(body).expect("text");
    stored.bodies.iter().map(|body| text(&body[..])).collect()
}

fn read_all(queue: &Queue, from: Option<Position>) -> Stored {
    let mut reader = Reader::new(queue.clone(), from);
    reader.read(usize::MAX).expect("read")
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("one").path()).collect();
    files.sort();
    files
}

#[test]
fn records_come_back_in_order_also_after_it_was_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    append(&open(folder.path()), &["a", "", "c"]);
    append(&open(folder.path()), &["d"]);
    let queue = open(folder.path());
    let stored = read_all(&queue, None);
    assert_eq!(text(&stored), ["a", "", "c", "d"]);
    assert_eq!((stored.damage.len(), queue.backlog()), (0, 4));
    assert_eq!(text(&read_all(&queue, Some(stored.after))), [""; 0]);
}

#[test]
fn what_is_delivered_is_deleted_and_numbers_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..20 {
        let queue = open(folder.path());
        append(&queue, &["a", "b"]);
        let stored = read_all(&queue, None);
        queue.release(stored.after).expect("released");
        assert_eq!(queue.end().number, 2 * (round + 1));
        assert_eq!(queue.backlog(), 0);
        assert_eq!(files(folder.path()).len(), 1);
    }
}

#[test]
fn a_queue_that_is_full_takes_nothing_until_something_is_delivered() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    let mut writer = Writer::new(
        queue.clone(),
        Bounds {
            max_bytes: 10_000,
            ..ROOM
        },
    );
    let body = "x".repeat(900);
    let mut appended = 0;
    while writer.append(&[&body]).is_ok() {
        appended += 1;
    }
    assert!(matches!(writer.append(&[&body]), Err(AppendError::Full)));
    assert!(queue.bytes() <= 10_000);
    let mut reader = Reader::new(queue.clone(), None);
    let stored = reader.read(3000).expect("read");
    queue.release(stored.after).expect("released");
    writer.append(&[&body]).expect("there is room");
    let rest = reader.read(usize::MAX).expect("read");
    assert_eq!(stored.bodies.len() + rest.bodies.len(), appended + 1);

    let larger = "x".repeat(10_000);
    let refused = writer.append(&[body.as_str(), larger.as_str()]);
    assert!(matches!(
        refused,
        Err(AppendError::TooLarge { index: 1, .. })
    ));
}

#[test]
fn records_larger_than_half_of_the_queue_go_through_one_after_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let bounds = Bounds {
        max_bytes: 10_000,
        ..ROOM
    };
    let largest = (1..10_000).rev().map(|bytes| "x".repeat(bytes));
    let mut largest = largest.filter(|body| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = Writer::new(open(folder.path()), bounds);
        writer.append(&[body]).is_ok()
    });
    let largest = largest.next().expect("some record fits");
    assert!(largest.len() > 9_000, "{}", largest.len());
    let mut delivered = Position::default();
    for body in [largest, "y".repeat(6_000)] {
        let queue = open(folder.path());
        queue.release(delivered).expect("released");
        let mut writer = Writer::new(queue.clone(), bounds);
        for _ in 0..3 {
            writer.append(&[&body]).expect("the queue is empty");
            assert!(matches!(writer.append(&[&body]), Err(AppendError::Full)));
            let stored = read_all(&queue, Some(delivered));
            assert_eq!(text(&stored), [&body]);
            delivered = stored.after;
            queue.release(delivered).expect("released");
        }
        assert_eq!(files(folder.path()).len(), 1);
    }
}

#[test]
fn a_queue_that_drops_keeps_the_newest_and_counts_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    let bounds = Bounds {
        max_bytes: 10_000,
        when_full: WhenFull::DropOldest,
    };
    let mut writer = Writer::new(queue.clone(), bounds);
    let mut reader = Reader::new(queue.clone(), None);
    for number in 0..100 {
        let body = format!("{number:0900}");
        writer.append(&[&body]).expect("appended");
    }
    let stored = reader.read(usize::MAX).expect("read");
    let kept = stored.bodies.len() as u64;
    assert!(kept >= 5, "{kept}");
    assert_eq!(queue.dropped() + kept, 100);
    assert_eq!(stored.damage, []);
    assert!(text(&stored)[kept as usize - 1].ends_with("099"));
}

#[test]
fn a_write_that_was_cut_off_costs_nothing_that_was_confirmed() {
    let folder = tempfile::tempdir().expect("a folder");
    append(&open(folder.path()), &["a", "b"]);
    let file = files(folder.path()).remove(0);
    let whole = fs::read(&file).expect("read");
    append(&open(folder.path()), &[]);
    for torn in 1..40 {
        let mut bytes = whole.clone();
        bytes.extend_from_slice(&whole[whole.len() - 21..][..torn.min(20)]);
        fs::write(&file, &bytes).expect("written");
        let queue = open(folder.path());
        append(&queue, &["c"]);
        let stored = read_all(&queue, None);
        assert_eq!(text(&stored), ["a", "b", "c"]);
        assert_eq!(stored.damage, []);
        for other in &files(folder.path())[1..] {
            fs::remove_file(other).expect("removed");
        }
    }
}

#[test]
fn a_queue_is_opened_without_reading_it_however_large_it_is() {
    const FILES: u64 = 100;
    let folder = tempfile::tempdir().expect("a folder");
    append(&open(folder.path()), &["newest"]);
    let newest = files(folder.path()).remove(0);
    fs::rename(newest, segment::path(folder.path(), FILES)).expect("renamed");
    // Four hundred gigabytes, of which no byte is written.
    for first in 0..FILES {
        let file = fs::File::create(segment::path(folder.path(), first)).expect("made");
        file.set_len(4 << 30).expect("long");
    }
    let begin = std::time::Instant::now();
    let queue = open(folder.path());
    assert!(begin.elapsed() < std::time::Duration::from_secs(10));
    assert!(queue.bytes() > FILES * (4 << 30));
}

#[test]
fn a_file_that_is_gone_is_said_with_the_number_of_its_records() {
    let folder = tempfile::tempdir().expect("a folder");
    for body in ["a", "b", "c"] {
        append(&open(folder.path()), &[body]);
    }
    let queue = open(folder.path());
    fs::remove_file(&files(folder.path())[1]).expect("removed");
    let stored = read_all(&queue, None);
    assert_eq!(text(&stored), ["a", "c"]);
    assert_eq!(stored.damage.len(), 1);
    assert_eq!(stored.damage[0].records, 1);
}

#[test]
fn a_place_in_a_queue_that_was_removed_begins_at_the_oldest_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path());
    append(&queue, &["a", "b", "c"]);
    let place = read_all(&queue, None).after;
    fs::remove_dir_all(folder.path()).expect("removed");
    let queue = open(folder.path());
    append(&queue, &["d"]);
    assert_eq!(text(&read_all(&queue, Some(place))), ["d"]);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("spool");
    append(&open(&folder), &["a"]);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&files(&folder)[0]), 0o600);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// One changed byte anywhere costs the record it is in and no other, and is said.
    #[test]
    fn a_changed_byte_costs_one_record_and_is_said(
        lengths in prop::collection::vec(0usize..60, 2..12),
        at in any::<prop::sample::Index>(),
        flip in 1u8..=255,
        reopens in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies: Vec<String> = lengths.iter().enumerate()
            .map(|(n, length)| format!("{n}{}", "y".repeat(*length))).collect();
        let queue = open(folder.path());
        append(&queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>());
        let file = files(folder.path()).remove(0);
        let mut bytes = fs::read(&file).expect("read");
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&file, &bytes).expect("written");

        let queue = if reopens { open(folder.path()) } else { queue };
        let stored = read_all(&queue, None);
        let read: Vec<&str> = text(&stored);
        let kept: Vec<&str> = bodies.iter().map(String::as_str).filter(|body| read.contains(body)).collect();
        prop_assert_eq!(&read, &kept, "in order, nothing made up");
        let lost = bodies.len() - read.len();
        prop_assert!(lost <= 1, "{} lost", lost);
        let said: u64 = stored.damage.iter().map(|damage| damage.records).sum();
        // The last record, damaged before it is opened, cannot be told from one that was cut off.
        let is_last = reopens && !read.contains(&bodies[bodies.len() - 1].as_str());
        prop_assert_eq!(said, if is_last { 0 } else { lost as u64 });
    }

    /// Any bytes in place of a file: no crash, nothing made up, and what comes later is kept.
    #[test]
    fn any_bytes_at_all_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(segment::path(folder.path(), 0), &bytes).expect("written");
        let queue = open(folder.path());
        append(&queue, &["after"]);
        let stored = read_all(&queue, None);
        prop_assert_eq!(text(&stored), ["after"]);
    }
}
