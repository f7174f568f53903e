# em-websocket on EventMachine (Debian: ruby-em-websocket).

require 'em-websocket'

EM.epoll
EM.run do
  EM::WebSocket.start(:host => '127.0.0.1', :port => Integer(ARGV[0])) do |ws|
    ws.onmessage { |message| ws.send_text(message) }
    ws.onbinary { |message| ws.send_binary(message) }
    ws.onerror { |error| warn "#{error.class}: #{error.message}" }
  end
end
