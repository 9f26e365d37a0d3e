//! Addresses that replace Microsoft's.

use std::net::IpAddr;

use reqwest::Url;

/// Checks a base address and returns it without a trailing slash.
///
/// # Errors
/// What was expected, for a human: an absolute `https` address without path, query, and user;
/// `http` only where the host is this machine, since tokens travel there.
pub fn check_base_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text)
        .map_err(|error| format!("expected an address such as https://host: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        _ if host.is_empty() => return Err("expected an address with a host".to_owned()),
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => return Err("expected https; http is for loopback hosts only".to_owned()),
        other => return Err(format!("expected https, found {other}")),
    }
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none();
    if !bare {
        return Err("expected only scheme, host, and port".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::check_base_url;

    #[test]
    fn only_bare_https_and_loopback_http_bases_are_taken() {
        let good = |text: &str, expected: &str| {
            assert_eq!(check_base_url(text).as_deref(), Ok(expected), "{text}");
        };
        good("https://Graph.Example/", "https://graph.example");
        good("https://graph.example:8443", "https://graph.example:8443");
        good("http://127.0.0.1:80", "http://127.0.0.1");
        good("http://[::1]:8080/", "http://[::1]:8080");
        good("http://localhost:1", "http://localhost:1");
        for bad in [
            "graph.example",
            "http://graph.example",
            "http://127.0.0.1.example",
            "https://graph.example/v1.0",
            "https://user:password@graph.example",
            "https://graph.example?x=1",
            "https://graph.example/#x",
            "ftp://graph.example",
            "data:text/plain,x",
            "",
        ] {
            let error = check_base_url(bad).expect_err(bad);
            assert!(!error.contains("password"), "{error}");
        }
    }
}
