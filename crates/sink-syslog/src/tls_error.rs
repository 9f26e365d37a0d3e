//! What a failed TLS connection means: worth repeating, or a human must act.

use std::io;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use crate::error::LinkError;

/// Why agreeing on TLS failed.
pub(crate) fn classify(error: io::Error, peer: &str) -> LinkError {
    untrusted(&error, peer).unwrap_or(LinkError::Tls(error))
}

/// Why reading or writing failed later: in TLS 1.3 a client certificate is refused only then.
pub(crate) fn classify_send(error: io::Error, peer: &str) -> LinkError {
    if let Some(untrusted) = untrusted(&error, peer) {
        return untrusted;
    }
    match error.kind() {
        io::ErrorKind::ConnectionReset => LinkError::Reset,
        io::ErrorKind::TimedOut => LinkError::Timeout,
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => LinkError::Closed,
        _ => LinkError::Send(error),
    }
}

fn untrusted(error: &io::Error, peer: &str) -> Option<LinkError> {
    let tls = error.get_ref()?.downcast_ref::<TlsError>()?;
    let (reason, advice) = match tls {
        TlsError::InvalidCertificate(certificate) => of_receiver(certificate),
        TlsError::AlertReceived(alert) => of_client(*alert)?,
        _ => return None,
    };
    let why = format!("{peer}: {tls}; {advice}");
    Some(LinkError::Untrusted { reason, why })
}

/// We do not trust the receiver's certificate.
fn of_receiver(error: &CertificateError) -> (&'static str, &'static str) {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "tls_hostname",
            "connect by a name that the certificate carries, or set tls.server_name to one",
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (
            "tls_expired",
            "renew the receiver's certificate, or set this machine's clock",
        ),
        _ => (
            "tls_untrusted",
            "name the authority that signed the receiver's certificate in tls.ca",
        ),
    }
}

/// The receiver does not trust our certificate, or misses it.
fn of_client(alert: AlertDescription) -> Option<(&'static str, &'static str)> {
    use AlertDescription as Alert;
    let about_certificates = matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            // What OpenSSL says if an authority of the same name and another key has signed it.
            | Alert::DecryptError
            | Alert::AccessDenied
            | Alert::NoCertificate
    );
    // TLS 1.2 has no word of its own for a certificate that is missing (RFC 5246, 7.4.6).
    let maybe = alert == Alert::HandshakeFailure;
    (about_certificates || maybe).then_some((
        "tls_client_certificate",
        "the receiver refuses us: set tls.cert and tls.key to a client certificate that it trusts",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: TlsError, expected: &str) {
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        let classified = classify(error, "tls://siem.example:6514");
        assert_eq!(classified.reason(), expected, "{classified}");
    }

    #[test]
    fn what_a_human_must_mend_is_told_apart_from_what_passes() {
        use CertificateError as Certificate;
        let invalid = TlsError::InvalidCertificate;
        check(invalid(Certificate::UnknownIssuer), "tls_untrusted");
        check(invalid(Certificate::BadSignature), "tls_untrusted");
        check(invalid(Certificate::NotValidForName), "tls_hostname");
        check(invalid(Certificate::Expired), "tls_expired");
        let alert = TlsError::AlertReceived;
        let refused = "tls_client_certificate";
        check(alert(AlertDescription::CertificateRequired), refused);
        check(alert(AlertDescription::UnknownCA), refused);
        check(alert(AlertDescription::DecryptError), refused);
        check(alert(AlertDescription::HandshakeFailure), refused);
        check(alert(AlertDescription::InternalError), "tls");
        check(TlsError::HandshakeNotComplete, "tls");
    }
}
