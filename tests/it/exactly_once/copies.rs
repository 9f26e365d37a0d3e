//! Two processes on copies of one data folder, started by mistake.

use std::path::Path;
use std::time::{Duration, Instant};

use tapline_e2e::wait_for;

use super::scene::{Scene, first_commit};

/// Exit code of who must not be restarted.
const FENCED: i32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn the_later_of_two_copies_goes_on_and_the_first_ends_with_3() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("150", "4000").await?;
    let first = scene.pipeline()?;
    let mut one = scene.start(&first).await?;
    first_commit(&first, Instant::now()).await;

    let second = scene.pipeline()?;
    copy(
        &first.folder().join("data/instance"),
        &second.folder().join("data"),
    )?;
    let mut two = scene.start(&second).await?;
    let code = wait_for("the first one ends", 60, async || {
        let status = one.wait(Duration::from_millis(10))?;
        Some(status.code())
    })
    .await;
    assert_eq!(code, Some(FENCED), "{}", first.log());
    scene.everything_arrives_once(4000).await?;
    assert!(
        two.is_running(),
        "the later one was not disturbed:\n{}",
        second.log()
    );
    second.stop(&mut two);
    Ok(())
}

/// What makes a folder a copy is its name: the database cannot be copied from under a process.
fn copy(instance: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::copy(instance, to.join("instance"))?;
    Ok(())
}
