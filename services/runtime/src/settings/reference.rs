//! The reference of all settings, as published in `docs/configuration.md`.

use super::{REFERENCE, Setting};

const HEAD: &str = "\
<!-- Generated from services/runtime/src/settings/mod.rs: `make manifests`. -->
# Configuration

All roles of `wallex` read the same settings; a role uses those that concern it, and says by name which one it
misses. A setting is given in one of four ways. In force is the first of these that names it:

1. the flag: `wallex command --max-batch 100`
2. the variable: `WALLEX_MAX_BATCH=100`; an empty one counts as not set
3. the key in the TOML file that `--config FILE` or `WALLEX_CONFIG` names: `max_batch = 100`
4. the default

`wallex config` shows what is in force and where each value came from, with secrets redacted. A value that is not
valid, and a key of the file that is no setting, are errors that name the setting and the way out.

On Kubernetes the operator writes these settings from the `WalletPlatform`. `wallex dev` also reads `DATABASE_URL`,
starts a PostgreSQL of its own without it, and listens on 127.0.0.1:3000 unless `listen` is set.

| setting | variable | default |
|---|---|---|
";

/// Markdown: how to give settings, a table of all of them, and a section for each.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for setting in REFERENCE {
        let Setting {
            name,
            variable,
            default,
            ..
        } = setting;
        text += &format!("| [{name}](#{name}) | `{variable}` | {} |\n", code(default));
    }
    for setting in REFERENCE {
        text += &section(setting);
    }
    text
}

fn section(setting: &Setting) -> String {
    let Setting {
        name,
        variable,
        default,
        example,
        values,
        help,
    } = setting;
    let default = if default.is_empty() {
        "not set".to_owned()
    } else {
        code(default)
    };
    let example = if example.is_empty() {
        String::new()
    } else {
        format!(", for example {}", code(example))
    };
    format!(
        "\n## {name}\n{help}\n\n\
         - file `{name}`, variable `{variable}`, flag `{}`\n\
         - {values}{example}\n\
         - default: {default}\n",
        setting.flag()
    )
}

fn code(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("`{text}`")
    }
}
