// Rows of `ekiden allow --list`: who may relay for a while.

import EkidenMail

package struct AllowanceRow: ControlRow {
    package static let kind = "allowance"

    /// An address, or a network in CIDR form.
    package var client: String
    package var secondsLeft: Double
    /// By the wall clock as it is now.
    package var until: WallTime

    package init(client: String, secondsLeft: Double, until: WallTime) {
        self.client = client
        self.secondsLeft = secondsLeft
        self.until = until
    }

    package func write(_ w: inout JSONWriter) {
        w.field("client", client)
        w.field("seconds_left", seconds: secondsLeft)
        w.field("until", until)
    }

    package init(_ object: JSONObject) throws(JSONProblem) {
        client = try object.string("client")
        secondsLeft = try object.number("seconds_left")
        until = try object.time("until")
    }
}
