// A message with 8-bit content on its way to a host without 8BITMIME.

import EkidenMIME
import EkidenMail

enum MIMEFuzz {
    /// Cut or whole it becomes the same, 7-bit, and as long as was said.
    static func convert(_ input: [UInt8]) {
        let input = FuzzInput(input)
        let (whole, output) = both([input.bytes])
        let (cut, again) = both(input.pieces)
        demand(whole.obstacle == cut.obstacle && whole.plan == cut.plan, "cut, the plan is another")
        demand(output == again, "cut, the result is another")
        if whole.obstacle != nil { return }
        demand(output.allSatisfy { $0 < 0x80 }, "8-bit content is left")
        demand(output.count == whole.plan.byteCount, "it is not as long as was said")
        if input.bytes.allSatisfy({ $0 < 0x80 }) {
            demand(output == input.bytes, "what needed no change was changed")
        }
    }

    private static func both(_ runs: [[UInt8]]) -> (SevenBitSurvey.Findings, [UInt8]) {
        var survey = SevenBitSurvey()
        for run in runs { run.withUnsafeBytes { survey.append($0) } }
        let findings = survey.finish()
        if findings.obstacle != nil { return (findings, []) }
        var converter = SevenBitConverter(findings.plan)
        let output = runs.flatMap { converter.convert(Bytes($0)).array }
        return (findings, output + converter.finish().array)
    }
}
