//! `tapline run --backfill`: which sources of a file read a span of the past.

use tapline_core::Span;
use tapline_runtime::{Pipeline, Registry};

/// Leaves the sources that read the span, and says which are not started.
///
/// # Errors
/// Why there is nothing to read.
pub(crate) fn narrow(
    pipeline: &mut Pipeline,
    span: Span,
    source: Option<&str>,
    registry: &Registry,
) -> Result<(), String> {
    if let Some(sink) = pipeline.topology.transactional.first() {
        return Err(format!(
            "sinks.{} is exactly_once: its replicas would share what a backfill reads, and it what they read; \
             backfill with a file of another name, in which the sink is not",
            sink.name.id
        ));
    }
    let sources = &mut pipeline.topology.sources;
    if let Some(wanted) = source {
        check(wanted, pipeline, registry)?;
        return keep(pipeline, span, |id, _| id == wanted);
    }
    if !sources
        .iter()
        .any(|node| registry.backfills(node.name.type_name))
    {
        return Err("no source of the file can read a span of the past".to_owned());
    }
    keep(pipeline, span, |_, source_type| {
        registry.backfills(source_type)
    })
}

fn check(wanted: &str, pipeline: &Pipeline, registry: &Registry) -> Result<(), String> {
    let sources = &pipeline.topology.sources;
    match sources.iter().find(|node| &*node.name.id == wanted) {
        None => Err(format!("no source is named {wanted}")),
        Some(node) if !registry.backfills(node.name.type_name) => Err(format!(
            "source {wanted} is of type {}, which cannot read a span of the past",
            node.name.type_name
        )),
        Some(_) => Ok(()),
    }
}

/// What hands on from a queue on disk is part of its sink, and stays.
fn keep(
    pipeline: &mut Pipeline,
    span: Span,
    is_read: impl Fn(&str, &str) -> bool,
) -> Result<(), String> {
    let mut left_out = Vec::new();
    pipeline.topology.sources.retain(|node| {
        let name = &node.name;
        let stays = name.type_name == "spool" || is_read(&name.id, name.type_name);
        if !stays {
            left_out.push(format!("{} ({})", name.id, name.type_name));
        }
        stays
    });
    tracing::info!(from = %span.from, to = %span.to, "reading a span of the past");
    if !left_out.is_empty() {
        tracing::info!(sources = left_out.join(", "), "not started for a backfill");
    }
    Ok(())
}
