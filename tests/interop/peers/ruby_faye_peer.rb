# A peer made of faye-websocket on EventMachine (Debian: ruby-faye-websocket), a client, or a server inside thin
# (Debian: thin): commands come in on stdin, events go out on stdout, a JSON line each. peer.py in the folder above lists
# them; this one knows no fragments, and no pings it gets.

require 'digest'
require 'eventmachine'
require 'faye/websocket'
require 'json'

STDOUT.sync = true

def emit(event, details)
  STDOUT.write(JSON.generate({ :event => event }.merge(details)) + "\n")
end

def fields_of(env)
  env.select { |name, _| name.start_with?('HTTP_') }.to_h { |name, value| [name[5..].downcase.tr('_', '-'), value] }
end

# The block returns the headers that came.
def watch(socket, echo)
  opened = false
  socket.on(:open) do
    opened = true
    emit('open', :protocol => socket.protocol.empty? ? nil : socket.protocol, :headers => yield)
  end
  socket.on(:message) do |event|
    binary = event.data.is_a?(Array)
    data = binary ? event.data.pack('C*') : event.data
    emit('message', :binary => binary, :size => data.bytesize, :sha256 => Digest::SHA256.hexdigest(data))
    socket.send(event.data) if echo
  end
  socket.on(:error) { |event| warn event.message }
  socket.on(:close) { |event| emit('close', :code => event.code, :reason => event.reason) if opened }
  socket
end

# What a client says of an answer that it did not want, or of none. Behind an error of a proxy no close follows.
def watch_opening(socket)
  over = false
  socket.on(:open) { over = true }
  socket.on(:error) do |event|
    next if over
    over = true
    refused = socket.status && socket.status != 101
    refused ? emit('refused', :status => socket.status) : emit('failed', :error => event.message)
  end
end

def connect(command)
  options = { :headers => command['headers'], :max_length => command['limit'] }
  options[:tls] = { :root_cert_file => command['ca'] } if command['ca']
  if command['proxy']
    options[:proxy] = { :origin => command['proxy'] }
  else
    # EventMachine tries the first address of a name only, which may be that of IPv6.
    command['url'].sub!('//localhost', '//127.0.0.1')
  end
  socket = Faye::WebSocket::Client.new(command['url'], command['protocols'], options)
  watch_opening(socket)
  watch(socket, command['echo']) { socket.headers.to_h.transform_keys(&:downcase) }
end

# The block gets each WebSocket.
def listen(command)
  Faye::WebSocket.load_adapter('thin')
  Thin::Logging.silent = true
  options = { :headers => command['headers'], :max_length => command['limit'] }
  answer = lambda do |env|
    socket = Faye::WebSocket.new(env, command['protocols'], options)
    yield watch(socket, command['echo']) { fields_of(env) }
    socket.rack_response
  end
  server = Thin::Server.new('127.0.0.1', 0, answer, :signals => false)
  if command['certificate']
    server.ssl = true
    server.ssl_options = { :private_key_file => command['certificate'], :cert_chain_file => command['certificate'] }
  end
  server.start
  emit('listening', :port => server.backend.port)
end

EventMachine.run do
  socket = nil
  Thread.new do
    STDIN.each_line do |line|
      command = JSON.parse(line)
      EventMachine.schedule do
        case command['do']
        when 'connect' then socket = connect(command)
        when 'listen' then listen(command) { |accepted| socket = accepted }
        when 'send' then socket.send(command['kind'] == 'text' ? command['data'] : command['data'].codepoints)
        when 'ping' then socket.ping(command['data']) { emit('pong', :data => command['data']) }
        when 'close' then socket.close(command['code'], command['reason'])
        end
      end
    end
    EventMachine.stop
  end
end
