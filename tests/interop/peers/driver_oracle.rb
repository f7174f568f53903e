# What websocket-driver (Debian: ruby-websocket-driver) makes of a byte stream, as a server.
#
#     ruby driver_oracle.rb
#
# stdin:  cases, each: max_length (u32, big-endian), count of chunks (u32), and each chunk: its length (u32), its bytes.
#         The first chunk has the request's head. All are parsed, one after another.
# stdout: for each case a line of JSON: "version"; "events": ["open"], ["text", hex] (null: it was not UTF-8),
#         ["binary", hex], ["error", message] and ["close", code, hex of the reason], in their order; "written": hex;
#         "raised": what parsing raised, or null.

require 'json'
require 'websocket/driver'

[STDIN, STDOUT].each(&:binmode)
STDOUT.sync = true

class Case
  def initialize(max_length)
    @events = []
    @written = ''.b
    @driver = WebSocket::Driver.server(self, :max_length => max_length)
    @driver.on(:connect) { @driver.start }
    @driver.on(:open) { @events << ['open'] }
    @driver.on(:message) { |event| @events << message(event.data) }
    @driver.on(:error) { |error| @events << ['error', error.message] }
    @driver.on(:close) { |event| @events << ['close', event.code, hex(event.reason || '')] }
  end

  def write(data)
    @written << data
  end

  def outcome(chunks)
    raised = nil
    begin
      chunks.each { |chunk| @driver.parse(chunk) }
    rescue StandardError => error
      raised = "#{error.class}: #{error.message[0, 200]}".scrub
    end
    { :version => @driver.version, :events => @events, :written => hex(@written), :raised => raised }
  end

  private

  def hex(string)
    string.unpack1('H*')
  end

  def message(data)
    return ['binary', hex(data.pack('C*'))] if data.is_a?(Array)

    ['text', data && hex(data)]
  end
end

def number
  data = STDIN.read(4)
  data && data.unpack1('N')
end

while (max_length = number)
  chunks = Array.new(number) { STDIN.read(number) || ''.b }
  puts JSON.generate(Case.new(max_length).outcome(chunks))
end
