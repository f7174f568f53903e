# An echo server on em-websocket (Debian: ruby-em-websocket).
#
#     ruby em_echo.rb
#
# Prints "listening <port>". A text that begins with a slash is an order: "/ping <data>", "/close [code] [reason]".

require 'em-websocket'

STDOUT.sync = true

def obey(ws, order)
  verb, first, rest = order.split(' ', 3)
  case verb
  when '/ping' then ws.ping(first)
  when '/close' then first ? ws.close(first.to_i, rest) : ws.close
  end
end

EM.run do
  server = EM.start_server('127.0.0.1', 0, EM::WebSocket::Connection, {}) do |ws|
    ws.onmessage { |message| message.start_with?('/') ? obey(ws, message) : ws.send_text(message) }
    ws.onbinary { |message| ws.send_binary(message) }
    ws.onerror { |error| warn "#{error.class}: #{error.message}" }
  end
  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "listening #{port}"
end
