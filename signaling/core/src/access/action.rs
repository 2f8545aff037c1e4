//! The table of rights: a row for each route and each message, with what it needs.

use super::Permission;

/// The requirement of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// No credential is needed, or the request carries one of its own: a password, a setup token,
    /// a claim code, the signature of a gateway.
    Nothing,
    /// A valid credential of a user or token, whatever its rights.
    Credential,
    /// A connection on which a client or a gateway has registered.
    Registered,
    /// The connection of a gateway. Everything that it names must be its own.
    Gateway,
    /// The connection of one of the two sides of the session or exchange. From another it has no
    /// effect.
    Side,
    /// The credential of the user or token that has started the session. For others the session
    /// does not exist.
    OwnSession,
    /// The permission to give rights in this way, on some object. What is given must be no more
    /// than what the giver has, which [`Admitted::give`](super::Admitted::give) checks.
    Give(Permission),
    /// A permission on objects of this kind.
    On(Permission, Kind),
}

/// A kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server as a whole.
    Everything,
    /// The gateway that the request names.
    Gateway,
    /// The camera that the request names or that belongs to its session, and each camera in a list
    /// that is sent.
    Camera,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $need:expr;)*) => {
        /// An action that somebody asks the server for: a row for each route and each message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Returns the requirement in the row of this action.
            pub const fn need(self) -> Need {
                match self {
                    $(Self::$name => $need,)*
                }
            }

            /// Returns true for those that read only, and take more of the server's time than that.
            pub const fn foresees(self) -> bool {
                matches!(
                    self,
                    Self::ForeseeToken
                        | Self::ForeseeUser
                        | Self::ForeseeGateway
                        | Self::ForeseeCamera
                )
            }

            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

actions! {
    /// Ask if the server is alive, or ready: `GET /healthz`, `GET /readyz`.
    Health = Need::Nothing;
    /// Read the certificate of the server's own authority, and how to trust it: `GET /ca.crt`,
    /// `GET /trust`.
    ReadAuthority = Need::Nothing;
    /// Open a WebSocket, on which nothing can be done before `register`: `GET /ws`.
    OpenSocket = Need::Nothing;
    /// Create the first admin with the setup link: `POST /api/v1/setup`.
    SetUp = Need::Nothing;
    /// Sign in with name and password: `POST /api/v1/session`.
    SignIn = Need::Nothing;
    /// Read the own name and role: `GET /api/v1/session`.
    ReadSelf = Need::Credential;
    /// Revoke the own cookie: `DELETE /api/v1/session`.
    SignOut = Need::Credential;
    /// Change the own password: `PUT /api/v1/session/password`.
    ChangePassword = Need::Credential;
    /// Ask if there is an own second factor: `GET /api/v1/session/second-factor`.
    ReadSecondFactor = Need::Credential;
    /// Get the secret of a second factor: `POST /api/v1/session/second-factor`.
    BeginSecondFactor = Need::Credential;
    /// Confirm it with a code: `PUT /api/v1/session/second-factor`.
    ConfirmSecondFactor = Need::Credential;
    /// Remove the own second factor: `DELETE /api/v1/session/second-factor`.
    RemoveSecondFactor = Need::Credential;
    /// Read which ways to sign in there are: `GET /api/v1/session/ways`.
    ReadSignInWays = Need::Nothing;
    /// Get a challenge for a passkey: `POST /api/v1/session/passkey/request`.
    RequestPasskey = Need::Nothing;
    /// Sign in with a passkey: `POST /api/v1/session/passkey`.
    SignInWithPasskey = Need::Nothing;
    /// List the own passkeys: `GET /api/v1/session/passkeys`.
    ListPasskeys = Need::Credential;
    /// Get a challenge for a new passkey: `POST /api/v1/session/passkeys/request`.
    BeginPasskey = Need::Credential;
    /// Add a passkey: `POST /api/v1/session/passkeys`.
    AddPasskey = Need::Credential;
    /// Remove an own passkey: `DELETE /api/v1/session/passkeys/{passkey}`.
    RemovePasskey = Need::Credential;
    /// Get the address at which somebody signs in at the provider:
    /// `POST /api/v1/session/provider/request`.
    RequestProvider = Need::Nothing;
    /// Sign in with the answer of the provider, or link the account to the own user, for which the
    /// credential of that user is needed as well: `POST /api/v1/session/provider`.
    AnswerProvider = Need::Nothing;
    /// List the accounts at the provider that are linked to the own user:
    /// `GET /api/v1/session/identities`.
    ListIdentities = Need::Credential;
    /// Begin to link one: `POST /api/v1/session/identities/request`.
    BeginIdentity = Need::Credential;
    /// Unlink one: `DELETE /api/v1/session/identities/{identity}`.
    RemoveIdentity = Need::Credential;
    /// Take the second factor off a user: `DELETE /api/v1/users/{user}/second-factor`.
    TakeSecondFactor = Need::On(Permission::RunPeople, Kind::Everything);
    /// List cameras: `GET /api/v1/cameras`, and `portholeCameras` to clients.
    ListCameras = Need::On(Permission::List, Kind::Camera);
    /// Get ICE servers before a camera is chosen: `GET /api/v1/ice-servers`.
    ReadIceServers = Need::On(Permission::Watch, Kind::Camera);
    /// List all gateways: `GET /api/v1/gateways`.
    ListGateways = Need::On(Permission::ViewGateways, Kind::Everything);
    /// Name a gateway: `PATCH /api/v1/gateways/{gateway}`.
    RenameGateway = Need::On(Permission::Manage, Kind::Gateway);
    /// Remove a gateway with its cameras and the rights to them:
    /// `DELETE /api/v1/gateways/{gateway}`.
    RemoveGateway = Need::On(Permission::RunGateways, Kind::Everything);
    /// Forget that a gateway had a camera:
    /// `DELETE /api/v1/gateways/{gateway}/former-cameras/{camera}`.
    ReleaseCamera = Need::On(Permission::RunGateways, Kind::Everything);
    /// Create a claim code for a gateway: `POST /api/v1/claims`.
    CreateClaim = Need::Give(Permission::RunGateways);
    /// List the claim codes that can be used: `GET /api/v1/claims`.
    ListClaims = Need::On(Permission::ViewGateways, Kind::Everything);
    /// Revoke a claim code: `DELETE /api/v1/claims/{claim}`.
    RevokeClaim = Need::On(Permission::RunGateways, Kind::Everything);
    /// List all access tokens: `GET /api/v1/tokens`.
    ListTokens = Need::On(Permission::ViewPeople, Kind::Everything);
    /// Revoke an access token and those that it has given: `DELETE /api/v1/tokens/{token}`.
    RevokeToken = Need::On(Permission::RunPeople, Kind::Everything);
    /// Read the audit log: `GET /api/v1/audit`.
    ReadAudit = Need::On(Permission::ReadLog, Kind::Everything);
    /// List all users: `GET /api/v1/users`.
    ListUsers = Need::On(Permission::ViewPeople, Kind::Everything);
    /// Change the role and the cameras of a user: `PATCH /api/v1/users/{user}`. What it gets is
    /// given, and so compared with what the sender has.
    ChangeUser = Need::On(Permission::RunPeople, Kind::Everything);
    /// Create an invitation: `POST /api/v1/invitations`; and the second half of that.
    InvitePerson = Need::Give(Permission::RunPeople);
    /// List the invitations that can be accepted: `GET /api/v1/invitations`.
    ListInvitations = Need::On(Permission::ViewPeople, Kind::Everything);
    /// Revoke an invitation: `DELETE /api/v1/invitations/{invitation}`.
    RevokeInvitation = Need::On(Permission::RunPeople, Kind::Everything);
    /// Read what an invitation offers, with the token in its link:
    /// `POST /api/v1/invitations/read`.
    ReadInvitation = Need::Nothing;
    /// Accept an invitation with the token in its link: `POST /api/v1/invitations/accept`.
    AcceptInvitation = Need::Nothing;
    /// Remove a user with its sign-ins and what it has given: `DELETE /api/v1/users/{user}`.
    RemoveUser = Need::On(Permission::RunPeople, Kind::Everything);
    /// Sign a user out everywhere: `DELETE /api/v1/users/{user}/sign-ins`.
    SignUserOut = Need::On(Permission::RunPeople, Kind::Everything);
    /// Create a link with which a user sets a new password, for which one needs all that the user
    /// has: `POST /api/v1/users/{user}/reset`; on the host, give the password itself.
    ResetUser = Need::On(Permission::RunPeople, Kind::Everything);
    /// List the browsers that are signed in, those of others only for admins:
    /// `GET /api/v1/sign-ins`.
    ListSignIns = Need::Credential;
    /// Sign one browser out, those of others only for admins: `DELETE /api/v1/sign-ins/{sign_in}`.
    RevokeSignIn = Need::Credential;
    /// Sign oneself out everywhere: `DELETE /api/v1/sign-ins`.
    SignOutEverywhere = Need::Credential;
    /// Tell what would go with a token: `GET /api/v1/tokens/{token}/removal`.
    ForeseeToken = Need::On(Permission::RunPeople, Kind::Everything);
    /// Tell what would go with a user: `GET /api/v1/users/{user}/removal`.
    ForeseeUser = Need::On(Permission::RunPeople, Kind::Everything);
    /// Tell what would go with a gateway: `GET /api/v1/gateways/{gateway}/removal`.
    ForeseeGateway = Need::On(Permission::RunGateways, Kind::Everything);
    /// Tell what would go with a camera:
    /// `GET /api/v1/gateways/{gateway}/cameras/{camera}/removal`.
    ForeseeCamera = Need::On(Permission::Manage, Kind::Gateway);
    /// Create an access token: `POST /api/v1/tokens`.
    CreateToken = Need::Give(Permission::RunPeople);
    /// Make a link that shows cameras: `POST /api/v1/shares`.
    CreateShare = Need::Give(Permission::Share);
    /// List these links: `GET /api/v1/shares`.
    ListShares = Need::On(Permission::ViewShares, Kind::Everything);
    /// Revoke one of them: `DELETE /api/v1/shares/{share}`.
    RevokeShare = Need::On(Permission::Share, Kind::Everything);
    /// Use one, with the token in it and its password: `POST /api/v1/shares/open`.
    OpenShare = Need::Nothing;

    /// Ask which requests an address of a camera takes: `OPTIONS /whep/{camera}`.
    AskCamera = Need::Nothing;
    /// Get ICE servers before the offer, in the same response.
    AskIceServers = Need::On(Permission::Watch, Kind::Camera);
    /// Look at the address of a camera: `GET /whep/{camera}`.
    LookAtCamera = Need::On(Permission::Watch, Kind::Camera);
    /// Start a session with an offer: `POST /whep/{camera}`.
    Offer = Need::On(Permission::Watch, Kind::Camera);
    /// Ask which requests an address of a session takes: `OPTIONS /whep/{camera}/{session}`.
    AskSession = Need::Nothing;
    /// Look at the address of a session: `GET /whep/{camera}/{session}`.
    LookAtSession = Need::OwnSession;
    /// Send candidates or restart ICE: `PATCH /whep/{camera}/{session}`.
    Patch = Need::OwnSession;
    /// End a session: `DELETE /whep/{camera}/{session}`.
    Delete = Need::OwnSession;

    /// Get a nonce: `portholeChallenge`.
    Challenge = Need::Nothing;
    /// Enrol a gateway with a claim code and its key: `portholeEnroll`.
    Enroll = Need::Nothing;
    /// Register a client with its token or cookie, or a gateway with its key: `register`.
    Register = Need::Nothing;
    /// End the connection: `unregister`.
    Unregister = Need::Registered;
    /// Ask for a sign of life: `portholePing`.
    Ping = Need::Registered;
    /// Start a session with a camera: `connect`.
    Connect = Need::On(Permission::Watch, Kind::Camera);
    /// Prolong a session of the own user or token: `extend`.
    Extend = Need::On(Permission::Watch, Kind::Camera);
    /// Offer the picture to the client of a session: `invite`.
    Invite = Need::Gateway;
    /// Report the own cameras and sessions: `portholeReport`.
    Report = Need::Gateway;
    /// Get a key to seal the password of a camera with: `portholeSealingKey`.
    SealingKey = Need::On(Permission::Manage, Kind::Gateway);
    /// Search the networks of a gateway for cameras: `portholeDiscover`.
    Discover = Need::On(Permission::Manage, Kind::Gateway);
    /// Ask a device for its streams: `portholeProbe`.
    Probe = Need::On(Permission::Manage, Kind::Gateway);
    /// Read the cameras in a file of another program: `portholeReadConfiguration`.
    ReadConfiguration = Need::On(Permission::Manage, Kind::Gateway);
    /// List the cameras as their gateway keeps them: `portholeStoredCameras`.
    StoredCameras = Need::On(Permission::Manage, Kind::Gateway);
    /// Add a camera that was probed: `portholeAddCamera`.
    AddCamera = Need::On(Permission::Manage, Kind::Gateway);
    /// Change the name of a camera, how it is shown, or its address and password:
    /// `portholeChangeCamera`.
    ChangeCamera = Need::On(Permission::Manage, Kind::Gateway);
    /// Remove a camera from its gateway: `portholeRemoveCamera`.
    RemoveCamera = Need::On(Permission::Manage, Kind::Gateway);
    /// Turn a camera, or zoom: `portholeMove`.
    Move = Need::On(Permission::Control, Kind::Camera);
    /// List the positions that a camera has stored: `portholePresets`.
    Presets = Need::On(Permission::Control, Kind::Camera);
    /// Move a camera to such a position: `portholeGoToPreset`.
    GoToPreset = Need::On(Permission::Control, Kind::Camera);
    /// Store the position of a camera: `portholeSavePreset`.
    SavePreset = Need::On(Permission::Control, Kind::Camera);
    /// Make a camera forget a position: `portholeRemovePreset`.
    RemovePreset = Need::On(Permission::Control, Kind::Camera);
    /// Ask for the settings of a camera that spoil its picture: `portholeCheckSettings`.
    CheckSettings = Need::On(Permission::Manage, Kind::Gateway);
    /// Change these settings: `portholeApplySettings`.
    ApplySettings = Need::On(Permission::Manage, Kind::Gateway);
    /// Send a piece of the response to one of these: `portholeProgress`.
    Progress = Need::Gateway;
    /// End one of these: `portholeCancel`.
    Cancel = Need::Side;
    /// Send a candidate to the other side: `trickle`.
    Trickle = Need::Side;
    /// Tell a viewer which picture was chosen for it: `portholeShown`.
    Shown = Need::Gateway;
    /// End a session: `portholeClose`.
    Close = Need::Side;
    /// Tell the other side of an error: `error`.
    Error = Need::Side;
}
