//! How to connect to the brokers: plain text or TLS, with or without a user name.
//!
//! Depends on the settings alone. The invariant: every client gets the same configuration; no error contains a secret.

use rdkafka::ClientConfig;

use crate::settings::{KafkaProtocol, Settings, SettingsError};

/// Applies the security settings to a client's configuration.
pub(super) fn secure(settings: &Settings, config: &mut ClientConfig) -> Result<(), SettingsError> {
    let (tls, sasl) = match settings.kafka_security_protocol {
        // librdkafka's own default.
        KafkaProtocol::Plaintext => return Ok(()),
        KafkaProtocol::Ssl => (true, false),
        KafkaProtocol::SaslPlaintext => (false, true),
        KafkaProtocol::SaslSsl => (true, true),
    };
    config.set("security.protocol", settings.kafka_security_protocol.as_str());
    if tls {
        // Without it, the system's certificates are trusted.
        if let Some(authorities) = &settings.kafka_ca {
            config.set("ssl.ca.pem", authorities.pem());
        }
        if let Some(certificate) = &settings.kafka_certificate {
            let key = settings
                .kafka_certificate_key
                .as_ref()
                .ok_or_else(|| SettingsError::missing("kafka_certificate_key"))?;
            config.set("ssl.certificate.pem", certificate);
            config.set("ssl.key.pem", key.expose());
        }
    }
    if sasl {
        let user = settings
            .kafka_sasl_username
            .as_deref()
            .ok_or_else(|| SettingsError::missing("kafka_sasl_username"))?;
        let password = settings
            .kafka_sasl_password
            .as_ref()
            .ok_or_else(|| SettingsError::missing("kafka_sasl_password"))?;
        config.set("sasl.mechanism", settings.kafka_sasl_mechanism.as_str());
        // Files, and therefore Secrets, end with a line break; no password does.
        config.set("sasl.username", user.trim());
        config.set("sasl.password", password.expose().trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::settings::Flags;

    fn settings(given: impl FnOnce(&mut Flags)) -> Settings {
        let mut flags = Flags::default();
        given(&mut flags);
        Settings::load(&flags).unwrap()
    }

    fn secured(settings: &Settings) -> Result<ClientConfig, SettingsError> {
        let mut config = ClientConfig::new();
        secure(settings, &mut config).map(|()| config)
    }

    #[test]
    fn without_a_word_nothing_is_set() {
        let config = secured(&settings(|_| {})).unwrap();
        assert_eq!(config.config_map().len(), 0);
    }

    #[test]
    fn a_name_and_a_password_go_with_their_mechanism() {
        let settings = settings(|flags| {
            flags.kafka_security_protocol = Some("sasl_ssl".to_owned());
            flags.kafka_sasl_username = Some("wallex".to_owned());
            flags.kafka_sasl_password = Some("hunter2\n".to_owned());
            flags.kafka_ca = Some("-----BEGIN CERTIFICATE-----".to_owned());
        });
        let config = secured(&settings).unwrap();
        for (key, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "wallex"),
            ("sasl.password", "hunter2"),
            ("ssl.ca.pem", "-----BEGIN CERTIFICATE-----"),
        ] {
            assert_eq!(config.get(key), Some(value), "{key}");
        }
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let nameless = settings(|flags| flags.kafka_security_protocol = Some("sasl_plaintext".to_owned()));
        let error = secured(&nameless).unwrap_err().to_string();
        assert!(error.contains("WALLEX_KAFKA_SASL_USERNAME"), "{error}");
        let keyless = settings(|flags| {
            flags.kafka_security_protocol = Some("ssl".to_owned());
            flags.kafka_certificate = Some("-----BEGIN CERTIFICATE-----".to_owned());
        });
        let error = secured(&keyless).unwrap_err().to_string();
        assert!(error.contains("WALLEX_KAFKA_CERTIFICATE_KEY"), "{error}");
    }
}
