//! `tapline dead-letters`: what components rejected, and what is to become of it.

use std::io::{self, BufWriter, Write};

use anyhow::Context;
use tapline_runtime::dead_letters::{Filter, Shelf, Summary, kept_elsewhere};

use crate::cli::{DeadLetters, DeadLettersAction, Letters};
use crate::commands::validate;
use crate::{Exit, say};

pub(crate) fn run(arguments: &DeadLetters) -> anyhow::Result<Exit> {
    let (DeadLettersAction::List(letters)
    | DeadLettersAction::Show(letters)
    | DeadLettersAction::Replay(letters)
    | DeadLettersAction::Purge(letters)) = &arguments.action;
    let pipeline = match validate::load(&letters.file.config) {
        Ok(pipeline) => pipeline,
        Err(mistakes) => {
            say(mistakes);
            return Ok(Exit::Mistakes);
        }
    };
    if let Some(elsewhere) = kept_elsewhere(&pipeline.name, &pipeline.topology) {
        say(elsewhere);
    }
    let shelf = Shelf::of(&pipeline.data_dir);
    let in_folder = || format!("the dead letters in {}", pipeline.data_dir.display());
    act(&shelf, &arguments.action, &wanted(letters)).with_context(in_folder)?;
    Ok(Exit::Ok)
}

fn act(shelf: &Shelf, action: &DeadLettersAction, wanted: &Filter) -> io::Result<()> {
    match action {
        DeadLettersAction::List(_) => {
            let (groups, unreadable) = shelf.list(wanted)?;
            list(&groups)?;
            if unreadable > 0 {
                say(format_args!(
                    "lines that are no letters: {unreadable}; they stay where they are"
                ));
            }
        }
        DeadLettersAction::Show(_) => show(shelf, wanted)?,
        DeadLettersAction::Replay(_) => {
            let letters = shelf.replay(wanted)?;
            say(format_args!(
                "letters handed to the components that rejected them: {letters}; they are sent now if the pipeline runs, else at its next start"
            ));
        }
        DeadLettersAction::Purge(_) => {
            let letters = shelf.purge(wanted)?;
            say(format_args!("letters deleted: {letters}"));
        }
    }
    Ok(())
}

fn wanted(letters: &Letters) -> Filter {
    Filter {
        component: letters.component.clone(),
        reason: letters.reason.clone(),
        kind: letters.kind.clone(),
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
