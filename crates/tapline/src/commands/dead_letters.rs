//! `tapline dead-letters`: what components rejected, and what is to become of it.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use tapline_runtime::dead_letters::{Filter, Shelf, Summary};

use crate::cli::{DeadLetters, DeadLettersAction, LetterFilter};
use crate::commands::validate;
use crate::{Exit, say};

pub(crate) fn run(arguments: &DeadLetters) -> anyhow::Result<Exit> {
    let pipeline = match validate::load(&arguments.file.config) {
        Ok(pipeline) => pipeline,
        Err(mistakes) => {
            say(mistakes);
            return Ok(Exit::Mistakes);
        }
    };
    let shelf = Shelf::of(&pipeline.data_dir);
    let in_folder = || format!("the dead letters in {}", pipeline.data_dir.display());
    act(&shelf, &arguments.action).with_context(in_folder)?;
    Ok(Exit::Ok)
}

fn act(shelf: &Shelf, action: &DeadLettersAction) -> io::Result<()> {
    match action {
        DeadLettersAction::List(filter) => {
            let (groups, unreadable) = shelf.list(&wanted(filter))?;
            list(&groups)?;
            if unreadable > 0 {
                say(format_args!(
                    "{unreadable} lines are no letters; they stay where they are"
                ));
            }
        }
        DeadLettersAction::Show(filter) => show(shelf, &wanted(filter))?,
        DeadLettersAction::Replay(filter) => {
            let letters = shelf.replay(&wanted(filter))?;
            say(format_args!(
                "{letters} letters are handed to the components that rejected them, now if the pipeline runs, else at its next start"
            ));
        }
        DeadLettersAction::Purge(filter) => {
            let letters = shelf.purge(&wanted(filter))?;
            say(format_args!("{letters} letters are deleted"));
        }
    }
    Ok(())
}

fn wanted(filter: &LetterFilter) -> Filter {
    Filter {
        component: filter.component.clone(),
        reason: filter.reason.clone(),
        kind: filter.kind.clone(),
    }
}

fn list(groups: &[Summary]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let (component, reason) = ("COMPONENT", "REASON");
    let width =
        |head: &str, texts: &mut dyn Iterator<Item = usize>| texts.fold(head.len(), usize::max);
    let first = width(component, &mut groups.iter().map(|it| it.component.len()));
    let second = width(reason, &mut groups.iter().map(|it| it.reason.len()));
    writeln!(
        out,
        "{component:first$}  {reason:second$}  {:>9}  {:>12}  {:20}  NEWEST",
        "LETTERS", "BYTES", "OLDEST"
    )?;
    for group in groups {
        writeln!(
            out,
            "{:first$}  {:second$}  {:>9}  {:>12}  {:<20.0}  {:.0}",
            group.component, group.reason, group.letters, group.bytes, group.oldest, group.newest
        )?;
    }
    out.flush()
}

fn show(shelf: &Shelf, filter: &Filter) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let shown = shelf.show(filter, |line| {
        out.write_all(line)?;
        out.write_all(b"\n")
    });
    match shown.and_then(|()| out.flush()) {
        // A reader that has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
