//! The options of who may do what with what is kept.

use api::access::Users;
use clap::Args;

/// What may be asked of the program beyond reading and sending.
#[derive(Clone, Debug, Args)]
pub struct Administration {
    /// Let samples be deleted and snapshots be made, below /api/v1/admin/
    #[arg(long = "web.enable-admin-api", help_heading = "Serving")]
    pub enabled: bool,

    /// Let the configuration file be read again by POST or PUT to /-/reload, and the program be ended by
    /// /-/quit
    #[arg(long = "web.enable-lifecycle", help_heading = "Serving")]
    pub lifecycle: bool,
}

/// Which of the users of the web configuration file may do what.
#[derive(Clone, Debug, Args)]
pub struct Rights {
    /// Only these users may read [default: all users]
    #[arg(
        long = "web.read-users",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "web_config_file",
        help_heading = "Serving"
    )]
    pub read: Vec<String>,

    /// Only these users may send samples [default: all users]
    #[arg(
        long = "web.write-users",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "web_config_file",
        help_heading = "Serving"
    )]
    pub send: Vec<String>,

    /// Only these users may change what is kept, end others' queries, and use /-/reload and /-/quit [default: all users]
    #[arg(
        long = "web.admin-users",
        value_name = "NAMES",
        value_delimiter = ',',
        requires = "web_config_file",
        help_heading = "Serving"
    )]
    pub administer: Vec<String>,
}

impl Rights {
    /// As the API takes them.
    pub fn users(&self) -> Users {
        let set = |names: &[String]| names.iter().cloned().collect();
        Users { read: set(&self.read), send: set(&self.send), administer: set(&self.administer) }
    }
}
