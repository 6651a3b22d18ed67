/// How a message came in, as far as routes and shares go by it. Messages that came the same way have
/// one in common; it is kept with them (docs/SPOOL.md), so that a restart changes no route.
package struct Origin: Sendable, Hashable {
    /// Name of the listener; `local` for the relay's own reports.
    package var listener: String
    /// Who logged in, if somebody did.
    package var login: String?
    /// Names of the routes whose `header` fitted when the message came in.
    package var headerRoutes: [String]

    package init(listener: String = "relay", login: String? = nil, headerRoutes: [String] = []) {
        self.listener = listener
        self.login = login
        self.headerRoutes = headerRoutes
    }

    /// By one of those logins, at one of those listeners; where none is named, any will do.
    package func cameBy(logins: [String], listeners: [String]) -> Bool {
        (logins.isEmpty || login.map(logins.contains) ?? false)
            && (listeners.isEmpty || listeners.contains(listener))
    }
}
