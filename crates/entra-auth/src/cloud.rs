//! Microsoft's clouds by one word.

use serde::{Deserialize, Serialize};

/// A cloud of Microsoft's; tokens of one are worth nothing in another.
///
/// Source: Microsoft Graph "National cloud deployments", seen August 2026.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// The public cloud.
    #[default]
    Global,
    /// US government community cloud; its identities and Graph are those of the public cloud.
    Gcc,
    /// US government, level 4.
    GccHigh,
    /// US department of defense, level 5.
    Dod,
    /// Operated by 21Vianet.
    China,
}

impl Cloud {
    /// The word used in files, logs, and checkpoints.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cloud::Global => "global",
            Cloud::Gcc => "gcc",
            Cloud::GccHigh => "gcc_high",
            Cloud::Dod => "dod",
            Cloud::China => "china",
        }
    }

    /// Base address of the identity platform, without a path.
    pub const fn login(self) -> &'static str {
        match self {
            Cloud::Global | Cloud::Gcc => "https://login.microsoftonline.com",
            Cloud::GccHigh | Cloud::Dod => "https://login.microsoftonline.us",
            Cloud::China => "https://login.chinacloudapi.cn",
        }
    }

    /// Base address of Microsoft Graph, without a path; `/.default` after it is the scope.
    pub const fn graph(self) -> &'static str {
        match self {
            Cloud::Global | Cloud::Gcc => "https://graph.microsoft.com",
            Cloud::GccHigh => "https://graph.microsoft.us",
            Cloud::Dod => "https://dod-graph.microsoft.us",
            Cloud::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Whether Graph has alerts, incidents, and hunting there.
    pub const fn graph_has_security(self) -> bool {
        !matches!(self, Cloud::China)
    }
}

#[cfg(test)]
mod tests {
    use super::Cloud;

    #[test]
    fn every_cloud_is_read_from_the_word_it_is_written_as() {
        for cloud in [
            Cloud::Global,
            Cloud::Gcc,
            Cloud::GccHigh,
            Cloud::Dod,
            Cloud::China,
        ] {
            let word = serde_json::to_string(&cloud).expect("serializes");
            assert_eq!(word, format!("\"{}\"", cloud.as_str()));
            assert_eq!(serde_json::from_str::<Cloud>(&word).expect("read"), cloud);
        }
    }
}
