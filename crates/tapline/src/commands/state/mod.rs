//! `tapline state`: where the reading of every partition stands, and moving it.

mod desk;
mod table;

use std::fmt::Display;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use tapline_runtime::Pipeline;
use tapline_runtime::state::{Changed, CursorText, Document, Placement, Rewind, kept_elsewhere};

use self::desk::Desk;
use crate::cli::{State, StateAction};
use crate::commands::{block_on, validate};
use crate::{Exit, say};

/// Larger documents are none of ours.
const MAX_DOCUMENT: u64 = 1 << 30;

pub(crate) fn run(arguments: &State) -> anyhow::Result<Exit> {
    match validate::load(&arguments.action.file().config) {
        Ok(pipeline) => {
            block_on(act(&arguments.action, &pipeline))??;
            Ok(Exit::Ok)
        }
        Err(mistakes) => {
            say(mistakes);
            Ok(Exit::Mistakes)
        }
    }
}

async fn act(action: &StateAction, pipeline: &Pipeline) -> anyhow::Result<()> {
    if let Some(elsewhere) = kept_elsewhere(&pipeline.name, &pipeline.topology) {
        match action {
            StateAction::Show { .. } | StateAction::Export(_) => {
                say(format_args!("{elsewhere}, and not part of this"));
            }
            _ => bail!("{elsewhere}, which this does not reach; nothing was changed"),
        }
    }
    match action {
        StateAction::Show { json, .. } => show(pipeline, *json).await,
        StateAction::Export(_) => print(&Desk::to_read(pipeline).await?.export().await?),
        StateAction::Import { document, .. } => {
            let name = document
                .as_deref()
                .map_or("standard input".into(), Path::to_string_lossy);
            let text = read(document.as_deref()).with_context(|| name.to_string())?;
            let document = Document::parse(&text)
                .and_then(|document| fits(document, pipeline))
                .map_err(|why| anyhow::anyhow!("{name}: {why}; nothing was changed"))?;
            let changed = Desk::to_change(pipeline).await?.import(document).await?;
            tell("taken in", &changed);
            Ok(())
        }
        StateAction::Rewind {
            to,
            component,
            partition,
            ..
        } => {
            let wanted = Rewind {
                to: *to,
                component: component.clone(),
                partition: partition.clone(),
            };
            let changed = Desk::to_change(pipeline).await?.rewind(wanted).await?;
            tell(format_args!("delivered again from {to} on"), &changed);
            Ok(())
        }
        StateAction::Set {
            component,
            partition,
            cursor,
            ..
        } => {
            let placement = Placement {
                component: component.clone(),
                partition: partition.clone(),
                cursor: CursorText(cursor.clone()),
            };
            let changed = Desk::to_change(pipeline).await?.set(placement).await?;
            tell("set", &changed);
            Ok(())
        }
    }
}

async fn show(pipeline: &Pipeline, json: bool) -> anyhow::Result<()> {
    let standings = match Desk::to_read(pipeline).await? {
        Desk::Empty => Vec::new(),
        desk => desk.show().await?,
    };
    match json {
        true => {
            let mut text = serde_json::to_vec_pretty(&standings)?;
            text.push(b'\n');
            print(&text)
        }
        false => print(table::of(&standings).as_bytes()),
    }
}

/// A document for components of the file, of the types that they have there.
fn fits(document: Document, pipeline: &Pipeline) -> Result<Document, String> {
    for saved in document.partitions() {
        let sources = &pipeline.topology.sources;
        let source = sources.iter().find(|it| *it.name.id == *saved.component);
        match source {
            None => {
                return Err(format!(
                    "it holds state of source {}, which is not in the pipeline file",
                    saved.component
                ));
            }
            Some(source) if source.name.type_name != saved.stream.source => {
                return Err(format!(
                    "it holds state of source {} as one of type {}, in the pipeline file it is one of type {}",
                    saved.component, saved.stream.source, source.name.type_name
                ));
            }
            Some(_) => {}
        }
    }
    Ok(document)
}

fn tell(what: impl Display, changed: &Changed) {
    for name in &changed.changed {
        say(format_args!("{name}: {what}"));
    }
    for name in &changed.unchanged {
        say(format_args!("left as it is: {name}"));
    }
    let (changed, unchanged) = (changed.changed.len(), changed.unchanged.len());
    say(format_args!(
        "partitions changed: {changed}, left as they are: {unchanged}"
    ));
}

fn read(document: Option<&Path>) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    match document {
        Some(path) => {
            let file = std::fs::File::open(path)?;
            file.take(MAX_DOCUMENT).read_to_end(&mut text)?;
        }
        None => {
            io::stdin()
                .lock()
                .take(MAX_DOCUMENT)
                .read_to_end(&mut text)?;
        }
    }
    Ok(text)
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
