//! A filter that is asked for every event.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Lets pass what the filter inside does, but never for good.
///
/// A layer's filter that says no to a mere question (`tracing::enabled!`) leaves that answer
/// behind for the next event of the thread; an event that nobody asks about, because its filter
/// once said "always", is then lost. Librdkafka's wrapper asks such questions whenever a client is
/// configured. Measured with tracing-subscriber 0.3.23: the line after was lost each time. To be
/// removed once a question leaves nothing behind there.
pub(super) struct Asked<F>(pub(super) F);

impl<S, F: Filter<S>> Filter<S> for Asked<F> {
    fn enabled(&self, metadata: &Metadata<'_>, cx: &Context<'_, S>) -> bool {
        self.0.enabled(metadata, cx)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let interest = self.0.callsite_enabled(metadata);
        if interest.is_always() {
            return Interest::sometimes();
        }
        interest
    }

    fn event_enabled(&self, event: &Event<'_>, cx: &Context<'_, S>) -> bool {
        self.0.event_enabled(event, cx)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: Context<'_, S>) {
        self.0.on_new_span(attributes, id, cx);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: Context<'_, S>) {
        self.0.on_record(id, values, cx);
    }

    fn on_enter(&self, id: &Id, cx: Context<'_, S>) {
        self.0.on_enter(id, cx);
    }

    fn on_exit(&self, id: &Id, cx: Context<'_, S>) {
        self.0.on_exit(id, cx);
    }

    fn on_close(&self, id: Id, cx: Context<'_, S>) {
        self.0.on_close(id, cx);
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::*;

    #[test]
    fn nothing_passes_without_being_asked_for_and_what_never_passes_still_never_does() {
        let span = || tracing::warn_span!("poll").metadata();
        let metadata = tracing::subscriber::with_default(Registry::default(), span);
        let metadata = metadata.expect("a registry takes every span");
        let interest = |filter: &dyn Filter<Registry>| filter.callsite_enabled(metadata);
        assert!(interest(&LevelFilter::INFO).is_always());
        assert!(interest(&Asked(LevelFilter::INFO)).is_sometimes());
        assert!(interest(&Asked(LevelFilter::OFF)).is_never());
    }
}
