# Servers on em-websocket (Debian: ruby-em-websocket) that tell on stdout what their callbacks got, and obey.
#
#     ruby em_websocket.rb <file of key and certificates, in PEM>
#
# The first line is {"listener": port, ...}; every other one is [port of the peer, event, details ...]. A text that begins
# with a slash is an order, others come back; some paths are orders too. em_websocket_twin.py is the same on wsdriver.

require 'digest/sha1'
require 'em-websocket'
require 'json'

OUT = STDOUT.dup
OUT.sync = true
$stdout = STDERR # what :debug prints

def report(ws, event, *details)
  OUT.puts JSON.generate([ws.peer, event, *details])
end

# A pipe takes no more than 64 KiB while nobody reads: of what is long, size and digest.
def hex(data)
  data.bytesize > 200 ? "#{data.bytesize} bytes #{Digest::SHA1.hexdigest(data)[0, 8]}" : data.b.unpack1('H*')
end

# What no callback tells: that a connection is over, also one that never opened.
EM::WebSocket::Connection.prepend(Module.new do
  attr_accessor :peer

  def unbind
    super
    report(self, 'gone')
  end
end)

def facts(ws, handshake)
  _, host = Socket.unpack_sockaddr_in(ws.get_peername)
  {
    path: handshake.path,
    query_string: handshake.query_string,
    query: handshake.query,
    origin: handshake.origin,
    headers: handshake.headers_downcased.reject { |name, _| name == 'third-key' },
    secure: handshake.secure?,
    protocol_version: handshake.protocol_version,
    pingable: ws.pingable?,
    supports_close_codes: ws.supports_close_codes?,
    state: ws.state == :connected ? 'open' : ws.state.to_s,
    max_length: ws.max_frame_size,
    remote_host: host
  }
end

def kind(error)
  case error
  when EM::WebSocket::WSProtocolError then error.code.to_s
  when EM::WebSocket::HandshakeError then 'handshake'
  when EM::WebSocket::WebSocketError then 'websocket'
  else 'application'
  end
end

def obey(ws, order)
  verb, first, rest = order.split(' ', 3)
  case verb
  when '/ping' then report(ws, 'pinged', ws.ping(first))
  when '/pong' then report(ws, 'ponged', ws.pong(first))
  when '/close' then first ? ws.close(first.to_i, rest) : ws.close
  when '/drop' then ws.close_connection
  when '/text' then ws.send_text('é' * first.to_i)
  when '/binary' then ws.send_binary("\xFF".b * first.to_i)
  when '/limit'
    ws.max_frame_size = first.to_i
    ws.send('limited')
  when '/state'
    ws.close
    report(ws, 'state', ws.state.to_s)
  when '/late'
    ws.close(3001, 'first')
    begin
      ws.send_text('late')
    rescue EM::WebSocket::WebSocketError
      report(ws, 'refused')
    end
  when '/raise' then raise 'as ordered'
  end
end

def handle(ws)
  ws.peer, = Socket.unpack_sockaddr_in(ws.get_peername)
  path = nil
  ws.onopen do |handshake|
    report(ws, 'open', facts(ws, handshake))
    path = handshake.path
    case path
    when '/open/send' then ws.send('welcome')
    when '/open/ping' then ws.ping('welcome')
    when '/open/close' then ws.close(3001, 'no')
    when '/open/raise' then raise 'as asked'
    end
  end
  ws.onmessage do |text|
    report(ws, 'message', 'text', hex(text))
    text.start_with?('/') ? obey(ws, text) : ws.send(text)
  end
  ws.onbinary do |data|
    report(ws, 'message', 'binary', hex(data))
    ws.send_binary(data)
  end
  ws.onping { |data| report(ws, 'ping', hex(data)) }
  ws.onpong { |data| report(ws, 'pong', hex(data)) }
  ws.onerror { |error| report(ws, 'error', kind(error)) }
  ws.onclose do |event|
    report(ws, 'close', event[:code], hex(event[:reason] || ''), event[:was_clean])
    raise 'as asked' if path == '/close/raise'
  end
end

def listen(options, &block)
  server = EM::WebSocket.run({ host: '127.0.0.1', port: 0 }.merge(options), &block)
  Socket.unpack_sockaddr_in(EM.get_sockname(server)).first
end

EM.run do
  pem = ARGV.fetch(0)
  ports = {
    plain: listen({}) { |ws| handle(ws) },
    health: listen({}) { |ws| handle(ws) },
    closing: listen({ close_timeout: 0.15 }) { |ws| handle(ws) },
    limit: listen({}) do |ws|
      ws.max_frame_size = 1000
      handle(ws)
    end,
    debug: listen({ debug: true }) { |ws| handle(ws) },
    proxy: listen({ secure_proxy: true }) { |ws| handle(ws) },
    secure: listen({ secure: true, tls_options: { private_key_file: pem, cert_chain_file: pem } }) { |ws| handle(ws) }
  }
  # start() inside of the loop is run(), and the signals.
  server = EM::WebSocket.start({ host: '127.0.0.1', port: 0 }) { |ws| handle(ws) }
  ports[:started], = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  OUT.puts JSON.generate(ports)
end
