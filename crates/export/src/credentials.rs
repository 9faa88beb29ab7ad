//! Who we are to AWS: keys of the configuration, of the environment, or of the shared credentials file
//! (`~/.aws/credentials`), in this order, as AWS's own tools look for them.

use scrape::config::Sigv4;
use std::env;
use std::path::PathBuf;

/// What a request is signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The region.
    pub region: String,
    /// The access key.
    pub key: String,
    /// The secret key.
    pub secret: String,
    /// The session's token; empty for none.
    pub token: String,
}

/// Never the secret itself.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({}, {})", self.region, self.key)
    }
}

impl Credentials {
    /// Finds them now: files and the environment may have changed.
    pub fn find(config: &Sigv4) -> Result<Credentials, String> {
        Credentials::among(config, &|name| env::var(name).ok(), &|path| {
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        })
    }

    fn among(
        config: &Sigv4,
        variable: &dyn Fn(&str) -> Option<String>,
        read: &dyn Fn(PathBuf) -> Result<String, String>,
    ) -> Result<Credentials, String> {
        let variable = |name| variable(name).filter(|v| !v.is_empty());
        let given = Some(config.region.clone()).filter(|r| !r.is_empty());
        let region = given
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .ok_or("sigv4 needs a region, or AWS_REGION in the environment")?;
        if !config.access_key.is_empty() {
            let (key, secret) = (config.access_key.clone(), config.secret_key.clone());
            return Ok(Credentials { region, key, secret, token: String::new() });
        }
        let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
        if let (Some((key, secret)), true) = (keys, config.profile.is_empty()) {
            let token = variable("AWS_SESSION_TOKEN").unwrap_or_default();
            return Ok(Credentials { region, key, secret, token });
        }
        let file = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = || variable("HOME").map(|h| PathBuf::from(h).join(".aws/credentials"));
        let file =
            file.or_else(home).ok_or("no keys for sigv4: neither given nor in the environment")?;
        let profile = match config.profile.is_empty() {
            true => variable("AWS_PROFILE").unwrap_or_else(|| "default".into()),
            false => config.profile.clone(),
        };
        let text = read(file.clone())?;
        let field = |name| field(&text, &profile, name);
        match (field("aws_access_key_id"), field("aws_secret_access_key")) {
            (Some(key), Some(secret)) => {
                let token = field("aws_session_token").unwrap_or_default();
                Ok(Credentials { region, key, secret, token })
            }
            _ => Err(format!("{}: has no keys of the profile {profile:?}", file.display())),
        }
    }
}

/// A field of a section of a file in INI form.
fn field(text: &str, section: &str, name: &str) -> Option<String> {
    let mut within = false;
    for line in text.lines().map(str::trim) {
        if let Some(title) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            within = title.trim() == section;
        } else if let Some((key, value)) = line.split_once('=')
            && within
            && key.trim().eq_ignore_ascii_case(name)
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[default]\naws_access_key_id = a\naws_secret_access_key=b\n\n# other\n\
                        [ops]\naws_access_key_id=c\naws_secret_access_key=d\naws_session_token=e\n";

    fn find(config: &Sigv4, variables: &[(&str, &str)]) -> Result<Credentials, String> {
        let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        Credentials::among(config, &variable, &|path| match path.ends_with(".aws/credentials") {
            true => Ok(FILE.to_owned()),
            false => Err("no file".into()),
        })
    }

    #[test]
    fn they_are_looked_for_in_order() {
        let home = ("HOME", "/root");
        let keys = |c: &Credentials| [c.key.clone(), c.secret.clone(), c.token.clone()].concat();
        let config = Sigv4 { region: "r".into(), ..Sigv4::default() };
        let given = Sigv4 { access_key: "x".into(), secret_key: "y".into(), ..config.clone() };
        assert_eq!(keys(&find(&given, &[]).expect("given")), "xy");
        let variables = [
            home,
            ("AWS_ACCESS_KEY_ID", "p"),
            ("AWS_SECRET_ACCESS_KEY", "q"),
            ("AWS_SESSION_TOKEN", "t"),
        ];
        assert_eq!(keys(&find(&config, &variables).expect("environment")), "pqt");
        assert_eq!(keys(&find(&config, &[home]).expect("file")), "ab");
        let ops = Sigv4 { profile: "ops".into(), ..config.clone() };
        assert_eq!(keys(&find(&ops, &variables).expect("a profile comes first")), "cde");
        assert_eq!(keys(&find(&config, &[home, ("AWS_PROFILE", "ops")]).expect("file")), "cde");
        let other = Sigv4 { profile: "none".into(), ..config };
        assert!(find(&other, &[home]).expect_err("no such profile").contains("\"none\""));
        assert!(find(&Sigv4::default(), &[home]).expect_err("no region").contains("AWS_REGION"));
        let region = find(&Sigv4::default(), &[home, ("AWS_REGION", "eu")]).expect("found").region;
        assert_eq!(region, "eu");
        assert!(!format!("{:?}", find(&given, &[])).contains('y'));
    }
}
