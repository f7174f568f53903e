# A peer made of faye-websocket on EventMachine (Debian: ruby-faye-websocket), as a client: commands come in on stdin,
# events go out on stdout, a JSON line each. peer.py in the folder above lists them.

require 'digest'
require 'eventmachine'
require 'faye/websocket'
require 'json'

STDOUT.sync = true

def emit(event, details)
  STDOUT.write(JSON.generate({ :event => event }.merge(details)) + "\n")
end

def connect(command)
  socket = Faye::WebSocket::Client.new(command['url'], command['protocols'], :headers => command['headers'])
  socket.on(:open) do
    emit('open', :protocol => socket.protocol.empty? ? nil : socket.protocol, :headers => {})
  end
  socket.on(:message) do |event|
    binary = event.data.is_a?(Array)
    data = binary ? event.data.pack('C*') : event.data
    emit('message', :binary => binary, :size => data.bytesize, :sha256 => Digest::SHA256.hexdigest(data))
    socket.send(event.data) if command['echo']
  end
  socket.on(:error) { |event| warn event.message }
  socket.on(:close) { |event| emit('close', :code => event.code, :reason => event.reason) }
  socket
end

EventMachine.run do
  socket = nil
  Thread.new do
    STDIN.each_line do |line|
      command = JSON.parse(line)
      EventMachine.schedule do
        case command['do']
        when 'connect' then socket = connect(command)
        when 'send' then socket.send(command['kind'] == 'text' ? command['data'] : command['data'].codepoints)
        when 'ping' then socket.ping(command['data']) { emit('pong', :data => command['data']) }
        when 'close' then socket.close(command['code'], command['reason'])
        end
      end
    end
    EventMachine.stop
  end
end
